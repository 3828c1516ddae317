import { rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';

let linked: LinkedProject;

beforeAll(async () => {
  linked = await startLinkedProject();
});

afterAll(() => linked.close());

beforeEach(() => linked.order({ aheadS: 0 }));

describe.each(['jwt', 'opaque'] as const)('with %s access tokens that name their grant', (format) => {
  test('link, call, unlink, refused, refresh refused, link again, accepted', async () => {
    const link = await linked.link('ann', format);
    expect(await linked.call(link.accessToken)).toBe(200);

    const line = await linked.unlink(link.accessToken);

    expect(line).toMatchObject({ outcome: 'ok', first: true, reached: ['grant'] });
    expect(await linked.call(link.accessToken)).toBe(403);
    expect(await linked.refresh(link)).toMatchObject({ status: 400, error: 'invalid_grant' });
    const again = await linked.link('ann', format);
    expect(await linked.call(again.accessToken)).toBe(200);
    const refreshed = await linked.refresh(again);
    expect(await linked.call(refreshed.accessToken)).toBe(200);
  });

  test('of two links of one user, one is unlinked and the other lives on', async () => {
    const [ended, alive] = [await linked.link('ann', format), await linked.link('ann', format)];

    await linked.unlink(ended.accessToken);

    expect(await linked.call(ended.accessToken)).toBe(403);
    expect(await linked.call(alive.accessToken)).toBe(200);
    expect((await linked.refresh(ended)).status).toBe(400);
    expect((await linked.refresh(alive)).status).toBe(200);
  });

  test('every access token of the link dies, one that was let in a moment ago too', async () => {
    const link = await linked.link('ann', format);
    const refreshed = await linked.refresh(link);
    expect(await linked.call(refreshed.accessToken)).toBe(200);

    await linked.unlink(link.accessToken);

    expect(await linked.call(refreshed.accessToken)).toBe(403);
  });

  test('an old token that is replayed after the accounts were linked again changes nothing', async () => {
    const link = await linked.link('ann', format);
    await linked.unlink(link.accessToken);
    const again = await linked.link('ann', format);

    expect(await linked.unlink(link.accessToken)).toMatchObject({ first: false, reached: ['grant'] });

    expect(await linked.call(again.accessToken)).toBe(200);
    expect((await linked.refresh(again)).status).toBe(200);
  });

  test('token-introspect tells of a token until the link ends, then nothing but that it is not active', async () => {
    const { accessToken } = await linked.link('ann', format);
    const introspect = async () => JSON.parse((await linked.post('/oauth/introspect', 'smart-home', accessToken)).body);
    expect(await introspect()).toMatchObject({
      active: true,
      sub: 'ann',
      client_id: 'smart-home',
      grant_id: expect.any(String),
      iat: expect.any(Number),
    });

    await linked.unlink(accessToken);

    expect(await introspect()).toEqual({ active: false });
  });

  test('token-revoke by the client ends the link; by another client it is refused and the link lives on', async () => {
    const link = await linked.link('ann', format);

    const refusal = await linked.post('/oauth/revoke', 'authorization-server', link.accessToken);
    expect(refusal.status).toBe(400);
    expect(JSON.parse(refusal.body)).toMatchObject({ error: 'invalid_grant' });
    expect(await linked.call(link.accessToken)).toBe(200);

    expect((await linked.post('/oauth/revoke', 'smart-home', link.accessToken)).status).toBe(200);
    expect(await linked.call(link.accessToken)).toBe(403);
    expect(await linked.refresh(link)).toMatchObject({ status: 400, error: 'invalid_grant' });
  });
});

describe('an access token that has expired', () => {
  beforeEach(() => linked.order({ aheadS: -7200 }));

  test('ends its link when it is a JWT', async () => {
    const link = await linked.link('ann');
    await linked.order({ aheadS: 0 });
    expect(await linked.call(link.accessToken)).toBe(403);
    expect((await linked.refresh(link)).status).toBe(200);

    expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant'] });

    expect(await linked.refresh(link)).toMatchObject({ status: 400, error: 'invalid_grant' });
  });

  test('ends no link when it is opaque, and the log says so', async () => {
    const link = await linked.link('ann', 'opaque');
    await linked.order({ aheadS: 0 });

    expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['access_token_only'] });

    expect((await linked.refresh(link)).status).toBe(200);
  });
});

test('a token that the server does not know is answered like any, and is refused', async () => {
  expect(await linked.unlink('123qwe456a...')).toMatchObject({ reached: ['access_token_only'] });
  expect(await linked.call('123qwe456a...')).toBe(403);
});

test('a refresh token is no access token', async () => {
  const { refreshToken } = await linked.link('ann', 'opaque');
  expect(await linked.call(refreshToken)).toBe(403);
});

test('a store that is lost is 503 to clients, and nobody gets a token for a refresh', async () => {
  const broken = await startLinkedProject(() => ({ timeout: 1 }));
  onTestFinished(() => broken.close());
  const link = await broken.link('ann');
  rmSync(broken.project.database);

  const unlink = () =>
    broken.project.gateway('POST', '/v1.0/user/unlink', { Authorization: `Bearer ${link.accessToken}` });

  const answers = await Promise.all([
    broken.post('/oauth/revoke', 'smart-home', link.accessToken),
    broken.post('/oauth/introspect', 'smart-home', link.accessToken),
    unlink(),
  ]);

  for (const { status, headers, body } of answers) {
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toMatch(/^\d+$/);
    expect(JSON.parse(body)).toMatchObject({ error: 'temporarily_unavailable' });
  }
  expect(await broken.call(link.accessToken)).toBe(500);
  expect(await broken.refresh(link)).toMatchObject({ status: 503, error: 'temporarily_unavailable' });
});
