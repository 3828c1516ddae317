import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { runAdmin } from '#test/support/admin-process.ts';
import { type Changes, type EmulatedProject, type Received, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';

/** A secret that is like no other text; its last characters change when it is written into a URL or into JSON. */
const plant = (name: string) => `canary-${name}-${randomBytes(18).toString('hex')}|+/="`;

const pepper = randomBytes(32);

let secrets: Record<string, string | Buffer>;
let project: EmulatedProject;
let answers: string[];

beforeEach(() => {
  secrets = { pepper };
  answers = [];
});

async function start(changes: Changes = {}): Promise<void> {
  project = await startProject({
    accessToken: secret('iam-token'),
    ...changes,
    local: { TOKEN_PEPPERS: `k1:${pepper.toString('base64')}`, ...changes.local },
  });
  onTestFinished(() => project.close());
}

/** Plants a secret of this name: from now on it is searched for. */
function secret(name: string): string {
  const planted = plant(name);
  secrets[name] = planted;
  return planted;
}

async function keep(answer: Promise<Received>): Promise<Received> {
  const received = await answer;
  answers.push([...received.headers].flat().join('\n'), received.body);
  return received;
}

const raw = (name: string, body: unknown) => keep(project.raw(name, body));
const gateway = (...call: Parameters<EmulatedProject['gateway']>) => keep(project.gateway(...call));

async function direct(path: string, headers: Record<string, string>, body: string): Promise<void> {
  const response = await fetch(`${project.functionsUrl}${path}`, { method: 'POST', headers, body });
  answers.push([...response.headers].flat().join('\n'), await response.text());
}

/** Where each secret was found: nowhere. Searched are the output, the answers and the files of the store. */
function sightings(): string[] {
  const files = ['', '-wal', '-shm', '.away'].map((end) => `${project.database}${end}`).filter(existsSync);
  const places: [string, Buffer][] = [
    ['output', Buffer.from(project.output.join('\n'))],
    ['answers', Buffer.from(answers.join('\n'))],
    ...files.map((file): [string, Buffer] => [file, readFileSync(file)]),
  ];
  return Object.entries(secrets).flatMap(([name, value]) =>
    spellingsOf(value).flatMap(([spelling, bytes]) =>
      places.filter(([, content]) => content.includes(bytes)).map(([place]) => `${name} ${spelling} in ${place}`),
    ),
  );
}

function spellingsOf(secretValue: string | Buffer): [string, Buffer][] {
  const bytes = Buffer.from(secretValue);
  const text = typeof secretValue === 'string' ? secretValue : undefined;
  const spelled: [string, string | Buffer][] = [
    ['as it is', bytes],
    ['in hexadecimal', bytes.toString('hex')],
    ...([0, 1, 2] as const).flatMap((offset): [string, string][] => [
      [`in base64 at ${offset}`, innerBase64(bytes, offset, 'base64')],
      [`in base64url at ${offset}`, innerBase64(bytes, offset, 'base64url')],
    ]),
  ];
  if (text !== undefined) {
    spelled.push(
      ['URL-encoded', encodeURIComponent(text)],
      ['in a form', new URLSearchParams({ '': text }).toString().slice(1)],
      ['in JSON', JSON.stringify(text).slice(1, -1)],
      ['in part', text.slice(0, 40)],
    );
  }
  return spelled.map(([spelling, value]) => [spelling, Buffer.from(value)]);
}

/** The part of a Base64 text that stands for the secret alone, wherever in a larger text the secret begins. */
function innerBase64(bytes: Buffer, offset: 0 | 1 | 2, encoding: 'base64' | 'base64url'): string {
  const shifted = Buffer.concat([Buffer.alloc(offset), bytes]);
  const whole = shifted.subarray(0, shifted.length - (shifted.length % 3)).toString(encoding);
  return whole.slice(offset === 0 ? 0 : 4);
}

const envelope = (authorization: unknown, more: object = {}) => ({
  headers: { request_id: 'canary-run', authorization, cookie: secret('raw-header') },
  request_type: 'unlink',
  api_version: 1,
  payload: { note: secret('raw-field'), deep: [{ field: secret('deep-field') }] },
  ...more,
});

describe('no secret is found anywhere after', () => {
  test('calls that succeed, raw and through the gateway', async () => {
    await start();
    const bearer = (name: string) => ({
      Authorization: `Bearer ${secret(name)}`,
      Cookie: `s=${secret(`${name}-cookie`)}`,
    });

    expect((await raw('smart-home-unlink', envelope(`Bearer ${secret('raw-token')}`))).body).toContain('canary-run');
    const headers = bearer('gateway-token');
    const query = `?code=${encodeURIComponent(secret('query'))}`;
    expect((await gateway('GET', `/whoami${query}`, headers)).status).toBe(200);
    expect((await gateway('POST', `/v1.0/user/unlink${query}`, headers, secret('gateway-body'))).status).toBe(200);
    expect((await gateway('GET', `/whoami${query}`, headers)).status).toBe(403);
    expect((await gateway('HEAD', '/v1.0/', bearer('head-token'))).status).toBe(200);

    expect(project.countRows()).toBe(2);
    expect(sightings()).toEqual([]);
  });

  test('a JWT is unlinked', async () => {
    await start();
    const part = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url');
    const jwt = [
      part({ alg: 'RS256' }),
      part({ sub: secret('subject'), jti: secret('jti') }),
      secret('sig').slice(0, -6),
    ];
    secrets.jwt = jwt.join('.');

    expect((await raw('smart-home-unlink', envelope(`Bearer ${secrets.jwt}`))).body).toContain('canary-run');

    expect(project.countRows()).toBe(1);
    expect(sightings()).toEqual([]);
  });

  test('calls that are refused', async () => {
    await start();
    await raw('smart-home-unlink', envelope(`Basic ${secret('basic')}`));
    await raw('smart-home-unlink', envelope(secret('bare')));
    await raw('smart-home-unlink', envelope([secret('in-a-list')]));
    await raw('smart-home-unlink', envelope(`Bearer ${secret('with-space')} x`));
    await raw('smart-home-unlink', envelope(`Bearer ${secret('of-query')}`, { request_type: 'query' }));
    await raw('smart-home-unlink', envelope('Bearer x', { request_type: secret('request-type') }));
    await raw('smart-home-unlink', envelope('Bearer x', { api_version: secret('version') }));
    await raw('smart-home-unlink', envelope('Bearer x', { [secret('key')]: 1, constructor: 2 }));
    await raw('smart-home-unlink', { headers: { request_id: `\n${secret('request-id')}` } });
    await raw('smart-home-unlink', secret('not-json'));
    await raw('smart-home-unlink', JSON.stringify(secret('string')));
    await raw('token-authorize', { headers: { Authorization: `Basic ${secret('authorizer')}` } });
    await gateway('POST', '/v1.0/user/unlink', { Authorization: `Basic ${secret('gateway-basic')}` });
    await gateway('GET', '/whoami', { Authorization: `Bearer ${secret('two-words')} x` });
    await direct('/smart-home-unlink', { Authorization: `Bearer ${secret('direct')}` }, secret('direct-body'));

    expect(project.countRows()).toBe(0);
    expect(sightings()).toEqual([]);
  });

  test('Matrix calls by a token that is good, refused by the homeserver, revoked here, or met by a store that is gone', async () => {
    // Without the characters that no access token has.
    const accessToken = (name: string) => {
      secrets[name] = `canary-${name}-${randomBytes(18).toString('hex')}`;
      return String(secrets[name]);
    };
    const unknown = accessToken('unknown');
    const url = await startHttpServer(({ headers }, response) => {
      const isUnknown = headers.authorization === `Bearer ${unknown}`;
      const body = isUnknown ? { errcode: 'M_UNKNOWN_TOKEN', error: 'x' } : { user_id: '@ann:example.test' };
      response.writeHead(isUnknown ? 401 : 200).end(JSON.stringify(body));
    });
    await start({ timeout: 2, local: { MATRIX_HOMESERVER_URL: url, MATRIX_SERVER_NAME: 'example.test' } });
    const unbind = async (token: string) => {
      const body = { medium: 'email', address: 'ann@example.test' };
      const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
      const path = '/_matrix/client/v3/account/3pid/unbind';
      const native = await gateway('POST', path, headers, JSON.stringify(body));
      await raw('threepid-unbind', envelope(`Bearer ${token}`, { request_type: '3pid.unbind', payload: body }));
      return native.status;
    };
    const revoked = accessToken('revoked');
    const settings = {
      STORE_URL: `sqlite:${project.database}`,
      TOKEN_PEPPERS: `k1:${pepper.toString('base64')}`,
    };
    for (const args of [
      ['revoke', '--token-stdin', '--matrix', '--yes', '--json'],
      ['check', '--token-stdin', '--matrix'],
    ]) {
      const { stdout, stderr } = await runAdmin(args, settings, revoked);
      answers.push(stdout, stderr);
    }

    expect(await unbind(accessToken('good'))).toBe(200);
    expect(await unbind(unknown)).toBe(401);
    expect(await unbind(revoked)).toBe(401);
    renameSync(project.database, `${project.database}.away`);
    expect(await unbind(accessToken('met-no-store'))).toBe(503);

    expect(answers.join('')).toContain('"soft_logout":true');
    expect(sightings()).toEqual([]);
  });

  test('calls that fail because the store is gone', async () => {
    await start({ timeout: 1 });
    renameSync(project.database, `${project.database}.away`);

    expect((await raw('smart-home-unlink', envelope(`Bearer ${secret('raw-token')}`))).status).toBe(502);
    const headers = { Authorization: `Bearer ${secret('gateway-token')}` };
    expect((await gateway('POST', '/v1.0/user/unlink', headers)).status).toBe(503);
    expect((await gateway('GET', '/whoami', headers)).status).toBe(500);

    expect(sightings()).toEqual([]);
  });

  test.each([
    ['TOKEN_PEPPERS', () => `k1:${secret('bad-pepper')}`],
    ['STORE_URL', () => `postgres://user:${secret('password')}@host/db`],
    ['STORE_URL', () => 'sqlite:/nowhere/unlink.sqlite'],
  ])('calls that throw because %s is wrong', async (name, makeValue) => {
    await start({ timeout: 1, local: { [name]: makeValue() } });

    expect((await raw('smart-home-unlink', envelope(`Bearer ${secret('raw-token')}`))).status).toBe(502);
    const headers = { Authorization: `Bearer ${secret('gateway-token')}` };
    expect((await gateway('POST', '/v1.0/user/unlink', headers)).status).toBeGreaterThanOrEqual(500);
    expect((await gateway('GET', '/whoami', headers)).status).toBe(500);

    expect(sightings()).toEqual([]);
  });
});

describe('the search finds a secret', () => {
  const found = (write: (value: string) => string) => {
    project.output.push(`before ${write(secret('planted'))} after`);
    return sightings().length > 0;
  };

  test.each<[string, (value: string) => string]>([
    ['as it is', (value) => value],
    ['in base64', (value) => Buffer.from(value).toString('base64')],
    ['in the base64 of a larger text', (value) => Buffer.from(`x${value}y`).toString('base64')],
    ['in the base64url of a larger text', (value) => Buffer.from(`xx${value}`).toString('base64url')],
    ['URL-encoded', encodeURIComponent],
    ['in JSON', (value) => JSON.stringify({ value })],
    ['cut short', (value) => value.slice(0, 50)],
  ])('%s', async (_, write) => {
    await start();

    expect(found(write)).toBe(true);
  });

  test('in an answer, and in the store', async () => {
    await start();
    answers.push(secret('answered'));
    await raw('smart-home-unlink', { ...envelope(`Bearer ${secret('raw-token')}`) });
    // An id is stored in clear: what is searched for as a secret here is there.
    secrets.stored = 'revoked_id';

    expect(sightings()).toContainEqual(expect.stringMatching(/^answered as it is in answers$/));
    expect(sightings()).toContainEqual(expect.stringMatching(/^stored as it is in .*unlink\.sqlite/));
  });
});
