import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Changes, type EmulatedProject, startProject, TEST_KEYS } from '#test/support/emulated-project.ts';
import {
  type GrantServer,
  type GrantServerKind,
  startGrantServer,
  type TlsFiles,
} from '#test/support/grant-servers/grant-server.ts';
import { GRANT_SERVERS } from '#test/support/grant-servers/grant-servers.ts';
import { HYDRA } from '#test/support/grant-servers/hydra.ts';
import { KEYCLOAK, KEYCLOAK_SESSION_LIVES } from '#test/support/grant-servers/keycloak.ts';
import { OKTA } from '#test/support/grant-servers/okta.ts';
import { callWhoami, unlinkRaw } from '#test/support/linked-project.ts';
import { makeCertificate } from '#test/support/private-server.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** The built functions, told to end grants at a server of the kind. */
async function start(
  kind: GrantServerKind,
  {
    row = kind.endingRow,
    basePath = '',
    tls,
    local,
  }: { row?: GrantServerKind['endingRow']; basePath?: string; tls?: TlsFiles } & Changes = {},
): Promise<{ server: GrantServer; project: EmulatedProject }> {
  const server = await startGrantServer(kind, { basePath, ...(tls && { tls }) });
  const { issuer, origin } = server;
  const project = await startProject({
    local: {
      ...{ UNVERIFIED_TOKENS: null, GRANT_CLAIM: null, ISSUERS: JSON.stringify([server.issuerRow]) },
      ...{ END_GRANT: JSON.stringify([{ issuer, preset: kind.preset, ...row(origin) }]), ENCRYPTION_KEYS: TEST_KEYS },
      ...local,
    },
  });
  onTestFinished(() => project.close());
  return { server, project };
}

function jobs({ database }: EmulatedProject) {
  const connection = new DatabaseSync(database);
  const rows = connection.prepare('SELECT * FROM outbox_job ORDER BY created_at').all();
  connection.close();
  return rows;
}

const DAY_MS = 86_400_000;

/** What the unlink has written is a day old from now on: its job, and the cut-off. */
function moveDayBack({ database }: EmulatedProject): void {
  const connection = new DatabaseSync(database);
  connection.exec(`UPDATE outbox_job SET created_at = created_at - ${DAY_MS}, give_up_at = give_up_at - ${DAY_MS}`);
  connection.exec(`UPDATE revocation_cut_off SET issued_up_to = issued_up_to - ${DAY_MS / 1000}`);
  connection.close();
}

async function runJobs(project: EmulatedProject): Promise<void> {
  project.makeJobsDue();
  await project.tick();
}

const DEAD = { status: 400, error: 'invalid_grant' };

describe.each(GRANT_SERVERS.map((kind) => [kind.title ?? kind.preset, kind] as const))('%s', (_title, kind) => {
  /** A link that was made a while before the unlink. */
  const linkBefore = async (server: GrantServer, user = 'ann', client?: string) => {
    server.aheadMs = -10_000;
    const link = await server.link(user, client);
    server.aheadMs = 0;
    return link;
  };

  test('an unlink ends the grant of the user at the client, and no other', async () => {
    const { server, project } = await start(kind);
    const [link, ofOther] = [await linkBefore(server), await linkBefore(server, 'ben')];
    const elsewhere = await linkBefore(server, 'ann', 'other');

    const line = await unlinkRaw(project, link.accessToken);

    expect(line).toMatchObject({ reached: expect.arrayContaining([kind.reach]), level: 'INFO' });
    expect(await server.refresh(link)).toMatchObject(DEAD);
    expect((await server.refresh(ofOther)).status).toBe(200);
    const isShared = kind.reach === 'upstream_all_clients';
    expect((await server.refresh(elsewhere)).status).toBe(isShared ? 400 : 200);
    expect(jobs(project)).toMatchObject([{ state: 'done', result: kind.reach, secret: null }]);
  });

  test('behind a path of its own, too', async () => {
    const { server, project } = await start(kind, { basePath: '/auth/x' });
    const link = await linkBefore(server);

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ level: 'INFO' });

    expect(await server.refresh(link)).toMatchObject(DEAD);
    expect(server.calls.filter((call) => !call.includes(' /auth/x/'))).toEqual([]);
  });

  test('an API that is down for a day is called when it is back; a token of a refresh in between lives until it expires', async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.misbehaviour = 'is_down';

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: 'pending: outgoing: unreachable' });
    moveDayBack(project);
    // Both were refreshed a day ago, right after the unlink, and differ in nothing but their lifetime.
    server.aheadMs = 2000 - DAY_MS;
    const expired = await server.refresh(link);
    server.lifetimeS = 2 * (DAY_MS / 1000);
    const refreshed = await server.refresh(link);
    expect([expired.status, refreshed.status]).toEqual([200, 200]);
    await runJobs(project);
    server.misbehaviour = undefined;
    await runJobs(project);

    expect(await server.refresh(link)).toMatchObject(DEAD);
    expect(jobs(project)).toMatchObject([{ state: 'done', result: kind.reach }]);
    expect(await callWhoami(project, link.accessToken)).toBe(403);
    expect(await callWhoami(project, refreshed.accessToken)).toBe(kind.namesGrant ? 403 : 200);
    project.output.length = 0;
    expect(await callWhoami(project, expired.accessToken)).toBe(403);
    expect(project.takeLogLine()).toMatchObject({ reason: 'expired' });
  });

  test(`a link that is made before the API is called ${kind.keepsNewer ? 'stays' : 'may end with it, and the log says so'}`, async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.misbehaviour = 'is_down';
    const line = await unlinkRaw(project, link.accessToken);
    server.aheadMs = 1000;
    const again = await server.link('ann');

    server.misbehaviour = undefined;
    await runJobs(project);

    expect(await server.refresh(link)).toMatchObject(DEAD);
    expect((await server.refresh(again)).status).toBe(kind.keepsNewer ? 200 : 400);
    expect(line.may_end_newer).toBe((kind.saysMayEndNewer ?? !kind.keepsNewer) ? true : undefined);
  });

  test('a token of the old link that is presented again ends nothing that was linked since', async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.aheadMs = -10_000;
    const sibling = await server.refresh(link);
    server.aheadMs = 0;
    await unlinkRaw(project, link.accessToken);
    const again = await server.link('ann');

    await unlinkRaw(project, sibling.accessToken);
    await runJobs(project);

    expect(await server.refresh(link)).toMatchObject(DEAD);
    expect((await server.refresh(again)).status).toBe(200);
  });

  test('what has ended before is not said to be ended now', async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.drop(link);

    const line = await unlinkRaw(project, link.accessToken);

    const isKnown = kind.showsNothing !== false;
    expect(line).toMatchObject(isKnown ? { upstream: 'nothing_found', level: 'WARN' } : { level: 'INFO' });
    expect(jobs(project)).toMatchObject([{ state: 'done', result: isKnown ? 'nothing_found' : kind.reach }]);
  });

  test('a credential that is wrong, or has no right, is an alert that says what it must have', async () => {
    const { server, project } = await start(kind, { row: kind.wrongRow });
    const link = await linkBefore(server);

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: expect.stringMatching(/^pending: /) });

    expect(jobs(project)).toMatchObject([{ state: 'pending' }]);
    expect((await server.refresh(link)).status).toBe(200);
    const { server: second, project: other } = await start(kind);
    second.misbehaviour = kind.forbidden ?? { status: 403 };
    const message = await unlinkRaw(other, (await linkBefore(second)).accessToken);
    expect(message.upstream).toMatch(kind.right);
    for (const { output } of [project, other]) expect(output.join()).not.toContain('obviously-wrong');
  });

  test.each<[string, NonNullable<GrantServer['misbehaviour']>, RegExp]>([
    ['is broken', { status: 500 }, /^pending: status 500/],
    [
      'sends us elsewhere',
      { status: 302, headers: { Location: 'http://127.0.0.1:9/' } },
      /^pending: outgoing: redirected$/,
    ],
    ['answers with a page', { status: 200, body: '<html>' }, /^pending: /],
    ['answers with something else', { status: 200, body: { message: 'welcome' } }, /^pending: /],
  ])('an API that %s is not said to have ended anything', async (_title, misbehaviour, upstream) => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.misbehaviour = misbehaviour;

    const line = await unlinkRaw(project, link.accessToken);

    expect(line).toMatchObject({ outcome: 'ok', level: 'WARN', upstream: expect.stringMatching(upstream) });
    expect((await server.refresh(link)).status).toBe(200);
    server.misbehaviour = undefined;
    await runJobs(project);
    expect(await server.refresh(link)).toMatchObject(DEAD);
  });

  test('an API that has too many calls is called no sooner than it asks', async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server);
    server.misbehaviour = { ...(kind.tooMany ?? { status: 429 }), headers: { 'Retry-After': '120' } };
    const before = Date.now();

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: expect.stringMatching(/^pending/) });

    expect(Number(jobs(project)[0]?.due_at)).toBeGreaterThanOrEqual(before + 120_000);
  });

  if (kind.showsLies) {
    test('an API that only says that it has done it is found out', async () => {
      const { server, project } = await start(kind);
      const link = await linkBefore(server);
      server.misbehaviour = 'lies';

      const line = await unlinkRaw(project, link.accessToken);

      expect(line).toMatchObject({ upstream: expect.stringMatching(/^(pending: |ended_in_part)/), level: 'WARN' });
    });
  }

  test('what waits in the outbox, and every line of the log, names neither the user nor the credential', async () => {
    const { server, project } = await start(kind);
    const link = await linkBefore(server, 'ann-canary');
    server.misbehaviour = 'is_down';
    const line = await unlinkRaw(project, link.accessToken);

    expect(jobs(project)).toHaveLength(1);
    const kept = `${JSON.stringify(jobs(project))}${JSON.stringify(line)}${project.output.join()}`;
    for (const secret of ['ann-canary', link.grant.id, link.accessToken, 'obviously-fake']) {
      expect(kept).not.toContain(secret);
    }
  });
});

test('an API that does not answer costs the caller nothing but its time, and is asked again', async () => {
  const { server, project } = await start(KEYCLOAK);
  const link = await server.link('ann');
  server.misbehaviour = 'hangs';

  expect(await unlinkRaw(project, link.accessToken)).toMatchObject({
    ...{ outcome: 'ok', reached: ['cut_off'], upstream: 'pending: outgoing: timed_out' },
  });
  server.misbehaviour = undefined;
  await runJobs(project);

  expect(await server.refresh(link)).toMatchObject(DEAD);
});

test('a token of our client serves for several unlinks, and another one is asked for once it is withdrawn', async () => {
  const { server, project } = await start(KEYCLOAK);
  const links = [await server.link('ann'), await server.link('ben'), await server.link('cem')] as const;
  const reached = { reached: expect.arrayContaining(['upstream_grant']) };

  expect(await unlinkRaw(project, links[0].accessToken)).toMatchObject(reached);
  expect(await unlinkRaw(project, links[1].accessToken)).toMatchObject(reached);
  expect(server.tokensIssued).toBe(1);
  server.withdrawTokens();
  expect(await unlinkRaw(project, links[2].accessToken)).toMatchObject(reached);

  expect(server.tokensIssued).toBe(2);
  for (const link of links) expect(await server.refresh(link)).toMatchObject(DEAD);
});

test('a consent that the user gave after the unlink stays at Hydra, and it is said that more may go on', async () => {
  const { server, project } = await start(HYDRA);
  const link = await server.link('ann');
  server.misbehaviour = 'is_down';
  expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: 'pending: outgoing: unreachable' });
  // Without it the next link asks for a consent, which is listed.
  server.drop(link);
  server.aheadMs = 1000;
  const again = await server.link('ann');

  server.misbehaviour = undefined;
  await runJobs(project);

  expect((await server.refresh(again)).status).toBe(200);
  expect(jobs(project)).toMatchObject([{ state: 'done', result: 'ended_in_part' }]);
});

test('a session of several clients at Keycloak lives on where the row does not allow to end it, and it is said so', async () => {
  const { server, project } = await start(KEYCLOAK_SESSION_LIVES);
  const link = await server.link('ann');

  const line = await unlinkRaw(project, link.accessToken);

  expect(line).toMatchObject({ reached: ['cut_off'], upstream: 'ended_in_part', level: 'WARN' });
  expect((await server.refresh(link)).status).toBe(200);
  expect(jobs(project)).toMatchObject([{ state: 'done', result: 'ended_in_part' }]);
});

describe('a server whose certificate is of an authority of its own', () => {
  /** A certificate for `localhost` that vouches for itself, in a file. */
  function makeTls() {
    const folder = createTemporaryFolder();
    onTestFinished(() => folder.remove());
    makeCertificate(folder.path);
    const [ca_file, keyFile] = [join(folder.path, 'certificate.pem'), join(folder.path, 'key.pem')];
    return { ca_file, tls: { cert: readFileSync(ca_file, 'utf8'), key: readFileSync(keyFile, 'utf8') } };
  }

  test('is called where the row names the file, for its token, too', async () => {
    const { tls, ca_file } = makeTls();
    const { server, project } = await start(KEYCLOAK, {
      tls,
      row: (origin) => ({ ...KEYCLOAK.endingRow(origin), ca_file }),
    });
    const link = await server.link('ann');

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ reached: ['cut_off', 'upstream_grant'] });

    expect(await server.refresh(link)).toMatchObject(DEAD);
  });

  test('is called by the timer, too', async () => {
    const { tls, ca_file } = makeTls();
    const { server, project } = await start(HYDRA, {
      tls,
      row: (origin) => ({ ...HYDRA.endingRow(origin), ca_file }),
    });
    const link = await server.link('ann');
    server.misbehaviour = 'is_down';
    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({ upstream: 'pending: outgoing: unreachable' });

    server.misbehaviour = undefined;
    await runJobs(project);

    expect(await server.refresh(link)).toMatchObject(DEAD);
  });

  test.each([
    ['names none', () => undefined],
    ['names another authority', () => makeTls().ca_file],
  ])('is told nothing where the row %s', async (_title, fileOf) => {
    const { tls } = makeTls();
    const { server, project } = await start(KEYCLOAK, {
      tls,
      row: (origin) => ({ ...KEYCLOAK.endingRow(origin), ca_file: fileOf() }),
    });
    const link = await server.link('ann');

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject({
      ...{ reached: ['cut_off'], upstream: 'pending: outgoing: tls', level: 'WARN' },
    });

    expect(server.calls).toEqual([]);
    expect((await server.refresh(link)).status).toBe(200);
  });

  test.each([
    ['is not there', undefined, /END_GRANT\[0\]\.ca_file must be a file that can be read/],
    ['holds no certificate', 'obviously-fake', /the file of END_GRANT\[0\]\.ca_file must be certificates in PEM/],
  ])('is refused at start where the file %s', async (_title, text, sentence) => {
    const folder = createTemporaryFolder();
    onTestFinished(() => folder.remove());
    const ca_file = join(folder.path, 'ca.pem');
    if (text !== undefined) writeFileSync(ca_file, text);
    const { server, project } = await start(KEYCLOAK, {
      row: (origin) => ({ ...KEYCLOAK.endingRow(origin), ca_file }),
    });
    const { accessToken } = await server.link('ann');

    const answer = await project.gateway('POST', '/v1.0/user/unlink', { Authorization: `Bearer ${accessToken}` });

    expect(answer.status).toBe(500);
    expect(project.output.join()).toMatch(sentence);
    expect(project.output.join()).not.toContain('obviously-fake');
    await expect(project.tick()).rejects.toThrow(/^the timer was answered 50\d/);
    expect(server.calls).toEqual([]);
  });
});

/** The first unlink does not reach the API, and the outbox has forgotten it when the second comes. */
async function unlinkTwice(kind: GrantServerKind) {
  const { server, project } = await start(kind);
  server.aheadMs = -10_000;
  const link = await server.link('ann');
  server.aheadMs = 0;
  server.misbehaviour = 'is_down';
  await unlinkRaw(project, link.accessToken);
  const connection = new DatabaseSync(project.database);
  connection.exec('DELETE FROM outbox_job');
  connection.close();
  server.misbehaviour = undefined;
  const again = await server.link('ann');
  return { server, project, link, again, line: await unlinkRaw(project, link.accessToken) };
}

test('of a server that backdates its tokens, the grant is told from a newer one by when it was made', async () => {
  const { server, link, again, line } = await unlinkTwice({
    ...OKTA,
    issuerRow: { ...OKTA.issuerRow, iat_offset_s: -300 },
    claimsOf: (grant) => ({ ...OKTA.claimsOf(grant), iat: Math.floor(grant.madeAt / 1000) - 300 }),
  });

  expect(line).toMatchObject({ reached: ['cut_off', 'upstream_grant'] });
  expect(await server.refresh(link)).toMatchObject(DEAD);
  expect((await server.refresh(again)).status).toBe(200);
});

test('a token that was revoked before and does not say when it was issued ends nothing at the server', async () => {
  const { server, project, again, line } = await unlinkTwice({
    ...OKTA,
    claimsOf: (grant) => ({ ...OKTA.claimsOf(grant), iat: undefined }),
  });

  expect(line).toMatchObject({ upstream: 'not asked: the token was revoked before', level: 'WARN' });
  expect(jobs(project)).toEqual([]);
  expect((await server.refresh(again)).status).toBe(200);
});
