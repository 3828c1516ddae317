import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { BROKEN_CODINGS, CONTENT_CODINGS, DECOMPRESSION_BOMBS } from '#test/support/content-codings.ts';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { makeJwt, RSA_JWK } from '#test/support/openid-provider.ts';
import { basic, CLAIMS, ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

/** What another server answers: a body, and the coding that it says the body is in. */
let answer: { body: Buffer; coding?: string; type?: string };
/** What it was sent. */
let received: { coding: string | undefined; body: Buffer }[];
let url: string;

beforeEach(async () => {
  received = [];
  url = await startHttpServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    received.push({ coding: request.headers['content-encoding'], body: Buffer.concat(chunks) });
    response
      .setHeader('Content-Type', answer.type ?? 'application/json')
      .setHeaders(new Map(answer.coding === undefined ? [] : [['Content-Encoding', answer.coding]]))
      .end(answer.body);
  });
});

async function start(local: Readonly<Record<string, string>>): Promise<EmulatedProject> {
  const project = await startProject({ local: { ...ISSUER_SETTINGS, ...local }, timeout: 3 });
  onTestFinished(() => project.close());
  return project;
}

describe('the provider’s own service', () => {
  const TEXT = '{"request_id":"f-1","payload":{"devices":[{"name":"лампа"}]}}';
  const devices = async (project: EmulatedProject) =>
    fetch(`${project.gatewayUrl}/v1.0/user/devices`, {
      headers: { Authorization: `Bearer ${await issueToken()}`, 'X-Request-Id': 'f-1' },
    });
  const discovery = async (project: EmulatedProject) =>
    project.raw('smart-home-unlink', {
      headers: { request_id: 'f-1', authorization: `Bearer ${await issueToken()}` },
      request_type: 'discovery',
      api_version: 1.0,
    });

  test('is decoded in raw, where an answer has no headers, and has no more than 3.5 MB then', async () => {
    const project = await start({ FULFILMENT_URL: url });
    for (const [, coding, encode] of CONTENT_CODINGS) {
      answer = { coding, body: encode(Buffer.from(TEXT)) };
      expect(await discovery(project)).toMatchObject({ status: 200, body: TEXT });
    }
    for (const [coding, body] of [
      ...BROKEN_CODINGS.map(([, ...broken]) => broken),
      ...DECOMPRESSION_BOMBS,
      ['identity', Buffer.from('"\xff"', 'latin1')] as const,
    ]) {
      answer = { coding, body };
      project.output.length = 0;
      expect((await discovery(project)).status).toBe(502);
      const fault = DECOMPRESSION_BOMBS.some(([, bomb]) => bomb === body) ? 'too_large' : 'malformed';
      expect(project.takeLogLine()).toMatchObject({ outgoing_fault: fault });
    }
  });

  test('is passed on behind the gateway as it is, with its coding', async () => {
    const project = await start({ FULFILMENT_REST_URL: url });
    for (const [, coding, encode] of CONTENT_CODINGS.filter(([, name]) => name !== '')) {
      answer = { coding, body: encode(Buffer.from(TEXT)) };
      const response = await devices(project);
      expect(response.headers.get('content-encoding')).toBe(coding);
      expect(response.headers.get('content-type')).toBe('application/json');
      // As every client does, fetch decodes what it knows.
      if (['gzip', 'br'].includes(coding)) expect(await response.text()).toBe(TEXT);
    }
  });

  test.each([
    ['a coding that nobody knows', 'zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 1])],
    ['a text in another charset', undefined, Buffer.from('\xcb\xe0\xec\xef\xe0', 'latin1')],
    ['a byte order mark', undefined, Buffer.from('\ufeff{}')],
  ])('is passed on behind the gateway byte for byte: %s', async (_name, coding, body) => {
    const project = await start({ FULFILMENT_REST_URL: url });
    answer = { body, type: 'text/plain; charset=windows-1251', ...(coding !== undefined && { coding }) };
    const response = await devices(project);
    expect(response.headers.get('content-encoding')).toBe(coding ?? null);
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  test('may have 2.5 MB that are no text', async () => {
    const project = await start({ FULFILMENT_REST_URL: url });
    answer = { body: Buffer.alloc(2_621_440, 0xff), type: 'application/octet-stream' };
    const response = await devices(project);
    expect(response.status).toBe(200);
    expect((await response.arrayBuffer()).byteLength).toBe(2_621_440);
  });

  test('gets a request as it came: its bytes, and its coding', async () => {
    const project = await start({ FULFILMENT_REST_URL: url });
    const body = gzipSync('{"devices":[]}');
    answer = { body: Buffer.from('{}') };
    const response = await fetch(`${project.gatewayUrl}/v1.0/user/devices/query`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${await issueToken()}`, 'X-Request-Id': 'f-1', 'Content-Encoding': 'gzip' },
      body,
    });
    expect(response.status).toBe(200);
    expect(received).toEqual([{ coding: 'gzip', body }]);
  });
});

describe('an issuer', () => {
  const headers = {
    Authorization: basic('skill', 'skill-secret'),
    'Content-Type': 'application/x-www-form-urlencoded',
  };
  const introspect = async (project: EmulatedProject, token: string) =>
    project.gateway('POST', '/oauth/introspect', headers, `token=${token}`);

  test.each(CONTENT_CODINGS)(
    'is understood when it introspects in another coding: %s',
    async (_name, coding, encode) => {
      const introspection = { endpoint: url, client_id: 'us', client_secret: 'obviously-fake' };
      const project = await start({ ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) });
      answer = {
        coding,
        body: encode(Buffer.from('{"active":true,"token_type":"Bearer","sub":"анна","client_id":"skill"}')),
      };
      const { status, body } = await introspect(project, 'opaque');
      expect([status, JSON.parse(body)]).toMatchObject([200, { active: true, sub: 'анна' }]);
    },
  );

  test('that introspects in a coding that cannot be undone fails, and refuses nobody', async () => {
    const introspection = { endpoint: url, client_id: 'us', client_secret: 'obviously-fake' };
    const project = await start({ ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) });
    answer = { coding: 'zstd', body: Buffer.from('{"active":false}') };
    expect((await introspect(project, 'opaque')).status).toBe(503);
    expect(project.takeLogLine()).toMatchObject({
      outgoing_fault: 'malformed',
      error: { cause: 'Content-Encoding must be up to 5 of gzip, deflate and br' },
    });
  });

  test('is understood when its keys come in another coding', async () => {
    const issuers = [{ issuer: ISSUER, audience: CLAIMS().aud, jwks_uri: url }];
    const project = await start({ ISSUERS: JSON.stringify(issuers) });
    answer = { coding: 'gzip', body: gzipSync(JSON.stringify({ keys: [RSA_JWK] })) };
    const { body } = await introspect(project, makeJwt(CLAIMS(), { typ: 'at+jwt' }));
    expect(JSON.parse(body)).toMatchObject({ active: true, sub: 'user-1' });
  });
});
