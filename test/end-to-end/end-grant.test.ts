import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { DEMO_SECRET, linkDemoUser, PLAIN_CLIENT } from '#scripts/authorization-server/demo.ts';
import { readYaml } from '#scripts/emulator/functions-file.ts';
import { type Forwarder, startForwarder } from '#test/support/forwarder.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';

/** What a test changes of the row, and of the settings. */
interface Setting {
  readonly row?: object;
  readonly local?: Readonly<Record<string, string | null>>;
  /** Where the API is, in place of the server's own. */
  readonly api?: string;
}

/**
 * The functions end grants by the API of the development authorization server, which does not ask before a refresh: that a
 * refresh fails is its own doing.
 */
async function start({ row, local, api }: Setting = {}): Promise<{ linked: LinkedProject; between: Forwarder }> {
  let authUrl = '';
  const between = await startForwarder(() => authUrl);
  const linked = await startLinkedProject((url) => {
    authUrl = url;
    const ending = {
      ...{ issuer: url, preset: 'http', method: 'DELETE', url: `${api ?? between.url}/admin/grants/{grant}` },
      ...{ authorization: `Bearer ${DEMO_SECRET}`, success: [204], reaches: 'grant', ...row },
    };
    return { local: { END_GRANT: JSON.stringify([ending]), ...local } };
  });
  onTestFinished(() => linked.close());
  await linked.order({ asks: false });
  return { linked, between };
}

/** What the outbox keeps of its jobs. */
function jobs({ project }: LinkedProject) {
  const connection = new DatabaseSync(project.database);
  const rows = connection.prepare('SELECT * FROM outbox_job ORDER BY created_at').all();
  connection.close();
  return rows;
}

/** The lines that tell an operator something. */
function alerts({ project }: LinkedProject): unknown[] {
  return project.output.filter((line) => line.includes('"level":"ERROR"')).map((line) => JSON.parse(line));
}

async function runJobs({ project }: LinkedProject): Promise<void> {
  project.makeJobsDue();
  await project.tick();
}

const DEAD = { status: 400, error: 'invalid_grant' };

test.each(['jwt', 'opaque'] as const)('an unlink ends the grant at the server at once (%s)', async (format) => {
  const { linked } = await start();
  const [link, other] = [await linked.link('ann', format), await linked.link('ann', format)];

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant', 'upstream_grant'], level: 'INFO' });

  expect(await linked.refresh(link)).toMatchObject(DEAD);
  expect((await linked.refresh(other)).status).toBe(200);
  expect(jobs(linked)).toMatchObject([{ state: 'done', result: 'upstream_grant', secret: null }]);
});

test('an API that is down at the unlink is called later, and the refresh token is dead then', async () => {
  const { linked, between } = await start();
  const link = await linked.link('ann');
  between.isDown = true;

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    ...{ outcome: 'ok', reached: ['grant'], upstream: 'pending: outgoing: unreachable', level: 'WARN' },
  });
  expect((await linked.refresh(link)).status).toBe(200);
  await runJobs(linked);
  expect((await linked.refresh(link)).status).toBe(200);

  between.isDown = false;
  await runJobs(linked);

  expect(await linked.refresh(link)).toMatchObject(DEAD);
  expect(jobs(linked)).toMatchObject([{ state: 'done', result: 'upstream_grant' }]);
});

test('what waits in the outbox tells nobody who it is about, nor the credential', async () => {
  const { linked, between } = await start();
  const { accessToken } = await linked.link('ann-canary');
  const { grant_id: grantId } = JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString());
  between.isDown = true;

  const line = await linked.unlink(accessToken);

  expect(jobs(linked)).toHaveLength(1);
  for (const secret of ['ann-canary', grantId, accessToken, DEMO_SECRET]) {
    expect(JSON.stringify(jobs(linked))).not.toContain(secret);
    expect(JSON.stringify(line)).not.toContain(secret);
  }
  expect(line).not.toHaveProperty('may_end_newer');
});

test('a link that is made before the API is called stays alive', async () => {
  const { linked, between } = await start();
  const link = await linked.link('ann');
  between.isDown = true;
  await linked.unlink(link.accessToken);
  const again = await linked.link('ann');

  between.isDown = false;
  await runJobs(linked);

  expect(await linked.refresh(link)).toMatchObject(DEAD);
  expect((await linked.refresh(again)).status).toBe(200);
  expect(await linked.call(again.accessToken)).toBe(200);
});

test('without a claim of the grant, the call names the user and says that it may end a newer link', async () => {
  const calls: unknown[] = [];
  let status = 503;
  const api = await startHttpServer(({ method, url }, response) => {
    calls.push(`${method} ${url}`);
    response.writeHead(status).end();
  });
  const { linked } = await start({
    ...{ api, local: { GRANT_CLAIM: null } },
    row: { url: `${api}/users/{subject}/clients/{client}`, reaches: 'all_clients', success: [200] },
  });
  await linked.order({ asks: false, aheadS: -10 });
  const link = await linked.link('ann b');
  const sibling = await linked.refresh(link);

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    ...{ reached: ['cut_off'], upstream: 'pending: status 503', may_end_newer: true },
  });
  expect(await linked.unlink(link.accessToken)).toMatchObject({ upstream: 'asked before' });
  // A token of the link that has ended, after the next link may have been made.
  const replay = await linked.unlink(sibling.accessToken);
  expect(replay).toMatchObject({ reached: ['cut_off'], upstream: 'not asked: the token was revoked before' });
  expect(jobs(linked)).toHaveLength(1);

  status = 200;
  await runJobs(linked);

  expect(new Set(calls)).toEqual(new Set(['DELETE /users/ann%20b/clients/smart-home']));
  expect(jobs(linked)).toMatchObject([{ state: 'done', result: 'upstream_all_clients' }]);
});

test('as npm start has it: no token names a grant, nobody is asked, and the refresh token is dead all the same', async () => {
  let authUrl = '';
  const between = await startForwarder(() => authUrl);
  const linked = await startLinkedProject((url) => {
    authUrl = url;
    // The emulator's own row, as the file has it.
    const { local } = readYaml('infra/functions.yaml') as { local: Record<string, string> };
    const [row] = JSON.parse(`${local.END_GRANT}`.replaceAll(/\$\{AUTH_URL\}/g, url));
    return { local: { END_GRANT: JSON.stringify([{ ...row, url: row.url.replace(url, between.url) }]) } };
  });
  onTestFinished(() => linked.close());
  const link = await linkDemoUser(authUrl, 'ann b', 'jwt', 'smart-home', PLAIN_CLIENT);
  const other = await linkDemoUser(authUrl, 'ben', 'jwt', 'smart-home', PLAIN_CLIENT);
  const late = await linkDemoUser(authUrl, 'eve', 'opaque', 'smart-home', PLAIN_CLIENT);

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['cut_off', 'upstream_grant'] });
  expect(await linked.refresh(link, PLAIN_CLIENT)).toMatchObject(DEAD);
  expect((await linked.refresh(other, PLAIN_CLIENT)).status).toBe(200);

  between.isDown = true;
  expect(await linked.unlink(late.accessToken)).toMatchObject({ upstream: 'pending: outgoing: unreachable' });
  expect((await linked.refresh(late, PLAIN_CLIENT)).status).toBe(200);
  between.isDown = false;
  await runJobs(linked);
  expect(await linked.refresh(late, PLAIN_CLIENT)).toMatchObject(DEAD);
});

test('the claim that the row names is the user', async () => {
  const api = await startHttpServer(({ url }, response) => {
    calls.push(url);
    response.writeHead(204).end();
  });
  const calls: unknown[] = [];
  const { linked } = await start({ api, row: { url: `${api}/{subject}/{grant}`, user_claim: 'grant_id' } });
  const { accessToken } = await linked.link('ann');
  const { grant_id: grantId } = JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString());

  expect(await linked.unlink(accessToken)).toMatchObject({ reached: ['grant', 'upstream_grant'] });

  expect(calls).toEqual([`/${grantId}/${grantId}`]);
});

test('a wrong credential is an alert that names the right, and the job waits for the next one', async () => {
  const { linked } = await start({ row: { authorization: 'Bearer obviously-wrong' } });
  const link = await linked.link('ann');
  linked.project.output.length = 0;
  const answer = await linked.project.gateway('POST', '/v1.0/user/unlink', {
    Authorization: `Bearer ${link.accessToken}`,
  });

  expect(answer.status).toBe(200);
  expect(alerts(linked)).toContainEqual(
    expect.objectContaining({
      message: 'smart-home-unlink: an outbox job waits for an operator',
      error: expect.stringMatching(
        /^status 401: in END_GRANT, the credential must have the right to make this call \(DELETE http:\S+\/admin\/grants\/\{grant\}\)$/,
      ),
    }),
  );
  expect(linked.project.output.join()).not.toContain('obviously-wrong');
  expect(linked.project.takeLogLine()).toMatchObject({
    reached: ['grant'],
    upstream: expect.stringMatching(/^pending: status 401/),
  });
  expect(jobs(linked)).toMatchObject([{ state: 'pending' }]);
});

test.each<[string, number, Record<string, string>, string, string]>([
  ['has no such grant', 404, {}, 'nothing_found', 'done'],
  ['answers a 200 that is not a success by the row', 200, {}, 'pending: status 200', 'pending'],
  ['has too many calls', 429, { 'Retry-After': '120' }, 'pending: status 429', 'pending'],
  ['is broken', 500, {}, 'pending: status 500', 'pending'],
  ['sends us elsewhere', 302, { Location: 'http://127.0.0.1:9/' }, 'pending: outgoing: redirected', 'pending'],
  ['refuses the call for good', 400, {}, 'dead: status 400', 'dead'],
])('an API that %s is not said to have ended anything', async (_title, status, headers, upstream, state) => {
  const api = await startHttpServer((_request, response) => response.writeHead(status, headers).end());
  const { linked } = await start({ api });
  const link = await linked.link('ann');
  const before = Date.now();

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant'], upstream, level: 'WARN' });

  expect(jobs(linked)).toMatchObject([{ state }]);
  expect((await linked.refresh(link)).status).toBe(200);
  if (status === 429) expect(Number(jobs(linked)[0]?.due_at)).toBeGreaterThanOrEqual(before + 120_000);
});

test('a call that was given up is made again when the token is presented again', async () => {
  let status = 400;
  const api = await startHttpServer((_request, response) => response.writeHead(status).end());
  const { linked } = await start({ api });
  const link = await linked.link('ann');
  expect(await linked.unlink(link.accessToken)).toMatchObject({ upstream: 'dead: status 400' });
  expect(jobs(linked)).toMatchObject([{ state: 'dead', secret: null }]);
  status = 204;

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant', 'upstream_grant'] });

  expect(jobs(linked)).toMatchObject([{ state: 'done', result: 'upstream_grant' }]);
});

test('a call that was given up is not made again where it may end what was linked since', async () => {
  const calls: unknown[] = [];
  const api = await startHttpServer(({ url }, response) => {
    calls.push(url);
    response.writeHead(400).end();
  });
  const { linked } = await start({ api, row: { url: `${api}/{subject}/{client}` } });
  const link = await linked.link('ann');
  await linked.unlink(link.accessToken);

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    ...{ reached: ['grant'], upstream: 'not asked: given up before', level: 'WARN' },
  });

  expect(calls).toHaveLength(1);
});

test('an API that does not answer costs the caller nothing but its time, and is asked again', async () => {
  const api = await startHttpServer(() => {});
  const { linked } = await start({ api });

  expect(await linked.unlink((await linked.link('ann')).accessToken)).toMatchObject({
    ...{ outcome: 'ok', reached: ['grant'], upstream: 'pending: outgoing: timed_out' },
  });
});

test('a token without the value that the URL needs sends nothing, and the result says so', async () => {
  const { linked } = await start({ local: { GRANT_CLAIM: null } });
  const link = await linked.link('ann');

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    ...{ reached: ['cut_off'], upstream: 'not asked: the token has no {grant}', level: 'WARN' },
  });
  expect(jobs(linked)).toEqual([]);
  expect((await linked.refresh(link)).status).toBe(200);
});

test('a text that the server calls inactive calls no API, and writes no job', async () => {
  const { linked } = await start();

  expect(await linked.unlink('123qwe456a...')).toMatchObject({
    ...{ reached: ['access_token_only'], upstream: 'not asked: the token is not verified', level: 'WARN' },
  });
  expect(jobs(linked)).toEqual([]);
});

test('a text that nobody vouched for is shown to no server where there are several', async () => {
  const linked = await startLinkedProject((url) => {
    const introspection = { endpoint: `${url}/token/introspection`, client_id: 'unlink-functions' };
    const issuers = [
      { issuer: url, introspection: { ...introspection, client_secret: DEMO_SECRET } },
      { issuer: 'https://other.example', audience: 'a', jwks: { keys: [] } },
    ];
    return { local: { ISSUERS: JSON.stringify(issuers), END_GRANT: JSON.stringify([rfc7009(url)]) } };
  });
  onTestFinished(() => linked.close());

  expect(await linked.unlink('123qwe456a...')).toMatchObject({ upstream: 'not asked: the token is not verified' });

  expect(jobs(linked)).toEqual([]);
});

/** A row of RFC 7009 at the server itself. */
const rfc7009 = (issuer: string, row: object = {}) => ({
  ...{ issuer, preset: 'rfc7009', endpoint: `${issuer}/token/revocation`, client_id: 'unlink-functions' },
  ...{ client_secret: DEMO_SECRET, ...row },
});

test.each([
  [{}, 'upstream_token'],
  [{ reaches: 'grant' }, 'upstream_grant'],
])('the preset rfc7009 %j revokes the token, and says %s', async (row, reach) => {
  const linked = await startLinkedProject((url) => ({ local: { END_GRANT: JSON.stringify([rfc7009(url, row)]) } }));
  onTestFinished(() => linked.close());
  await linked.order({ asks: false });
  const link = await linked.link('ann', 'opaque');

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant', reach] });

  expect(await linked.refresh(link)).toMatchObject(DEAD);
  // Of a text that nobody vouched for, the only issuer is told that text, by the timer.
  expect(await linked.unlink('123qwe456a...')).toMatchObject({ upstream: 'pending' });
  await runJobs(linked);
  expect(jobs(linked)).toMatchObject([{ state: 'done' }, { state: 'done', kind: 'unverified-upstream-revocation' }]);
});

test.each<[string, (issuer: string) => Record<string, string | null>, RegExp]>([
  [
    'beside REVOKE_UPSTREAM, which would have no issuer',
    (url) => ({
      END_GRANT: JSON.stringify([rfc7009(url)]),
      REVOKE_UPSTREAM: JSON.stringify({ endpoint: `${url}/r`, client_id: 'c', client_secret: 's' }),
    }),
    /REVOKE_UPSTREAM must not be set where each issuer of ISSUERS has a row of END_GRANT/,
  ],
  [
    'of an issuer that is not known',
    () => ({ END_GRANT: JSON.stringify([rfc7009('https://other.example')]) }),
    /END_GRANT\[0\]\.issuer must be an issuer of ISSUERS/,
  ],
  [
    'without keys for what waits',
    (url) => ({ END_GRANT: JSON.stringify([rfc7009(url)]), ENCRYPTION_KEYS: null }),
    /ENCRYPTION_KEYS must be set with END_GRANT/,
  ],
])('a row %s is refused at start, by a sentence', async (_title, local, sentence) => {
  const linked = await startLinkedProject((url) => ({ local: local(url) }));
  onTestFinished(() => linked.close());
  const { accessToken } = await linked.link('ann');
  linked.project.output.length = 0;

  const headers = { Authorization: `Bearer ${accessToken}` };
  expect((await linked.project.gateway('POST', '/v1.0/user/unlink', headers)).status).toBe(500);

  expect(linked.project.output.join()).toMatch(sentence);
  expect(linked.project.output.join()).not.toContain(DEMO_SECRET);
});
