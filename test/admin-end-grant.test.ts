import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { startEmulatorProcess } from '#scripts/emulator-process.ts';
import { runAdmin, runAdminAtTerminal, type Settings } from './support/admin-process.ts';
import { writeUnverifiedProject } from './support/emulated-project.ts';
import { killEmulator } from './support/emulator-process.ts';
import { COGNITO } from './support/grant-servers/cognito.ts';
import { FUSIONAUTH_WITH_GRANT } from './support/grant-servers/fusionauth.ts';
import { type GrantServer, type GrantServerKind, startGrantServer } from './support/grant-servers/grant-server.ts';
import { GRANT_SERVERS } from './support/grant-servers/grant-servers.ts';
import { HYDRA_WITH_GRANT } from './support/grant-servers/hydra.ts';
import { KEYCLOAK, KEYCLOAK_SESSION_LIVES, KEYCLOAK_SESSIONS } from './support/grant-servers/keycloak.ts';
import { OKTA, OKTA_WITH_GRANT } from './support/grant-servers/okta.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const DONE = 0;
const USAGE = 2;
const TROUBLE = 3;
const PARTLY = 5;

const DEAD = { status: 400, error: 'invalid_grant' };

/** A server of the kind, and the settings of who operates the functions beside it: no store and no key is among them. */
async function start(
  kind: GrantServerKind,
  row = kind.endingRow,
): Promise<{ server: GrantServer; settings: Settings }> {
  const server = await startGrantServer(kind);
  const { issuer, origin } = server;
  return { server, settings: { END_GRANT: JSON.stringify([{ issuer, preset: kind.preset, ...row(origin) }]) } };
}

const endGrant = (settings: Settings, ...args: string[]) => runAdmin(['end-grant', '--yes', ...args], settings);

/** What names a user's grant at a client, where the API knows clients at all. */
const argumentsOf = ({ preset }: GrantServerKind, user = 'ann'): string[] => [
  ...['--subject', preset === 'auth0' ? `auth0|${user}` : user],
  ...(['cognito', 'entra'].includes(preset) ? [] : ['--client', 'skill']),
];

const SENTENCES = {
  upstream_grant: 'The server has ended the grant.',
  upstream_all_clients: 'The server has ended the grants of the user at every client.',
} as const;

test.each(GRANT_SERVERS.map((kind) => [kind.title ?? kind.preset, kind] as const))(
  '%s: ends all that the user has at the client, also what was linked just now, and no other grant',
  async (_title, kind) => {
    const { server, settings } = await start(kind);
    server.aheadMs = -10_000;
    const old = await server.link('ann');
    server.aheadMs = 5000;
    const links = [old, await server.link('ann')];
    const [ofOther, elsewhere] = [await server.link('ben'), await server.link('ann', 'other')];

    const { status, stdout, stderr } = await endGrant(settings, '--issuer', server.issuer, ...argumentsOf(kind));

    expect({ status, stderr }).toEqual({ status: DONE, stderr: '' });
    expect(stdout.split('\n')[0]).toBe(SENTENCES[kind.reach]);
    expect(stdout).not.toContain('obviously');
    for (const link of links) expect(await server.refresh(link)).toMatchObject(DEAD);
    expect((await server.refresh(ofOther)).status).toBe(200);
    expect((await server.refresh(elsewhere)).status).toBe(kind.reach === 'upstream_all_clients' ? 400 : 200);
  },
);

test.each([
  ['okta', OKTA_WITH_GRANT],
  ['hydra', HYDRA_WITH_GRANT],
  ['fusionauth', FUSIONAUTH_WITH_GRANT],
])('%s: with --grant ends that grant alone, and does not print it', async (_title, kind) => {
  const { server, settings } = await start(kind);
  const [link, sibling] = [await server.link('ann'), await server.link('ann')];

  const ended = await endGrant(settings, ...argumentsOf(kind), '--grant', link.grant.id);

  expect(ended).toMatchObject({ status: DONE, stderr: '' });
  expect(ended.stdout).toMatch(/^The server has ended the grant\.\n\n(.*\n)+ {2}grant +named\n$/);
  expect(ended.stdout).not.toContain(link.grant.id);
  expect(await server.refresh(link)).toMatchObject(DEAD);
  expect((await server.refresh(sibling)).status).toBe(200);
});

describe('says in a sentence', () => {
  test.each<[string, GrantServerKind, string[], string]>([
    ['the client', KEYCLOAK, argumentsOf(KEYCLOAK), 'The server has nothing of the user at the client.'],
    ['any client', COGNITO, argumentsOf(COGNITO), 'The server has nothing of the user.'],
    ['this grant', OKTA_WITH_GRANT, [...argumentsOf(OKTA), '--grant', 'g'], 'The server has no such grant.'],
  ])('that there is nothing to end at %s, with status 0', async (_title, kind, args, sentence) => {
    const { server, settings } = await start(kind);
    await server.link('ben');

    const ended = await endGrant(settings, ...args);

    expect(ended).toMatchObject({ status: DONE, stderr: '' });
    expect(ended.stdout.split('\n')[0]).toBe(sentence);
  });

  test('what goes on and what the row must have to end it, with status 5', async () => {
    const { server, settings } = await start(KEYCLOAK_SESSION_LIVES);
    const link = await server.link('ann');

    const { status, stdout } = await endGrant(settings, ...argumentsOf(KEYCLOAK));

    expect(status).toBe(PARTLY);
    expect(stdout.split('\n')[0]).toBe(
      'Ended in part: the user has a session that other clients share, and the row of END_GRANT does not allow to end it. "reaches": "all_clients" in the row does.',
    );
    expect((await server.refresh(link)).status).toBe(200);
  });

  test.each(GRANT_SERVERS.filter(({ title }) => title === undefined).map((kind) => [kind.preset, kind] as const))(
    'what right the credential of the row must have, with status 3 (%s)',
    async (_title, kind) => {
      const { server, settings } = await start(kind);
      const link = await server.link('ann');
      server.misbehaviour = kind.forbidden ?? { status: 403 };

      const { status, stdout, stderr } = await endGrant(settings, ...argumentsOf(kind));

      expect({ status, stdout }).toEqual({ status: TROUBLE, stdout: '' });
      expect(stderr).toMatch(/^The server has not confirmed it: status 4.*\. Mend that, and repeat the command\.\n$/);
      expect(stderr).toMatch(kind.right);
      expect(stderr).not.toContain('obviously');
      expect((await server.refresh(link)).status).toBe(200);
    },
  );

  test('that the credential of the row is wrong, without quoting it', async () => {
    const { settings } = await start(OKTA, OKTA.wrongRow);

    const { status, stderr } = await endGrant(settings, ...argumentsOf(OKTA));

    expect(status).toBe(TROUBLE);
    expect(stderr).toMatch(
      /^The server has not confirmed it: status 401 E0000011: in END_GRANT, the credential must have/,
    );
    expect(stderr).not.toContain('obviously');
  });

  test.each<[string, NonNullable<GrantServer['misbehaviour']>, string]>([
    ['is down', 'is_down', 'The server has not confirmed it: outgoing: unreachable. Repeat the command.\n'],
    [
      'has too many calls',
      { status: 429, headers: { 'Retry-After': '120' } },
      'The server has not confirmed it: status 429. Repeat the command in 120 s, as the server asks.\n',
    ],
    ['refuses the call', { status: 400 }, 'The server has not confirmed it: status 400.\n'],
    [
      'only says that it has done it',
      'lies',
      'The server has not confirmed it: DELETE /users/{subject}/clients/{client}/tokens/{id} succeeded, and the server still lists a grant. Repeat the command.\n',
    ],
  ])('that a server has confirmed nothing that %s, with status 3', async (_title, misbehaviour, sentence) => {
    const { server, settings } = await start(OKTA);
    await server.link('ann');
    server.misbehaviour = misbehaviour;

    expect(await endGrant(settings, ...argumentsOf(OKTA))).toEqual({ status: TROUBLE, stdout: '', stderr: sentence });
  });
});

test('--json prints one line: what the server has confirmed, and of what', async () => {
  const { server, settings } = await start(OKTA_WITH_GRANT);
  const { grant } = await server.link('ann');
  const of = { issuer: server.issuer, preset: 'okta', subject: 'ann', client: 'skill' };

  const ended = await endGrant(settings, '--json', ...argumentsOf(OKTA), '--grant', grant.id);
  const again = await endGrant(settings, '--json', ...argumentsOf(OKTA));

  expect(ended.stdout.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(ended.stdout)).toEqual({ result: 'upstream_grant', ...of, grant: true });
  expect(JSON.parse(again.stdout)).toEqual({ result: 'nothing_found', ...of, grant: false });
});

describe('before it ends anything', () => {
  test('needs a terminal to ask at, unless --yes', async () => {
    const { server, settings } = await start(OKTA);

    expect(await runAdmin(['end-grant', ...argumentsOf(OKTA)], settings)).toEqual({
      ...{ status: USAGE, stdout: '' },
      stderr: 'Nothing was done: there is no terminal to confirm it at; --yes does it without asking.\n',
    });
    expect(server.calls).toEqual([]);
  });

  test.each([
    [OKTA, 'Ends the grant at the authorization server.', / {2}user \(uid\) +ann\r\n {2}client +skill\r\n/],
    [COGNITO, 'Ends the grants of the user at every client of the authorization server.', /user \(username\) +ann\r\n/],
    [
      KEYCLOAK_SESSIONS,
      'Ends the grant at the authorization server; where other clients share its session, also theirs.',
      / {2}user \(sub\) +ann\r\n {2}client +skill\r\n/,
    ],
  ])('says what it will end, and asks', async (kind, question, rows) => {
    const { server, settings } = await start(kind);
    const link = await server.link('ann');

    const refused = await runAdminAtTerminal(['end-grant', ...argumentsOf(kind)], settings, 'n\n');

    expect(refused.status).toBe(USAGE);
    expect(refused.stdout).toContain(`${question}\r\n`);
    expect(refused.stdout).toMatch(rows);
    expect(refused.stdout).toContain('Nothing was done.');
    expect(server.calls).toEqual([]);
    expect((await runAdminAtTerminal(['end-grant', ...argumentsOf(kind)], settings, 'y\n')).status).toBe(DONE);
    expect(await server.refresh(link)).toMatchObject(DEAD);
  });
});

describe('a mistake', () => {
  const ISSUER = 'https://as.example';
  const CANARY = 'canary-of-a-secret';
  const authorization = `SSWS ${CANARY}`;
  const client = { client_id: 'c', client_secret: CANARY };
  const http = { preset: 'http', method: 'DELETE', authorization, success: [204], reaches: 'grant' };
  const okta = { issuer: ISSUER, preset: 'okta', authorization };
  const endpoint = 'https://as.example/revoke';
  const byToken = 'ends a grant by a token of it, and there is none here';
  /** A row of an API of the vendor's own, whose URL is this. */
  const own = (path: string) => ({ issuer: ISSUER, ...http, url: `https://as.example/${path}` });
  const cognito = {
    ...{ issuer: 'https://cognito-idp.eu-north-1.amazonaws.com/eu-north-1_pool', preset: 'cognito' },
    ...{ reaches: 'all_clients', authorization: { access_key_id: 'AKIAOBVIOUSLYFAKE', secret_access_key: CANARY } },
  };
  const keycloak = { issuer: 'https://as.example/realms/home', preset: 'keycloak', authorization: client };

  test.each<[string, rows: object[] | undefined, args: string[], sentence: string | RegExp, more?: Settings]>([
    ['no client', [okta], ['--subject=a'], '--client is missing: the row of END_GRANT (preset okta) needs it.'],
    ['no user', [okta], ['--client=a'], '--subject is missing: the row of END_GRANT (preset okta) needs it.'],
    ['no grant', [own('{grant}')], ['--subject=a'], '--grant is missing: the row of END_GRANT (preset http) needs it.'],
    ['no token id', [own('{jti}')], [], '--jti is missing: the row of END_GRANT (preset http) needs it.'],
    [
      'a grant that the API does not name',
      [keycloak],
      ['--subject=a', '--client=b', '--grant=c'],
      '--grant has no effect: the row of END_GRANT (preset keycloak) does not name it, and would end more. Leave it out to end that.',
    ],
    [
      'a client that the API does not name',
      [cognito],
      ['--subject=a', '--client=b'],
      '--client has no effect: the row of END_GRANT (preset cognito) does not name it, and would end more. Leave it out to end that.',
    ],
    ['a token id that the row does not name', [okta], ['--subject=a', '--client=b', '--jti=c'], /^--jti has no effect/],
    ['an empty user', [okta], ['--subject=', '--client=b'], '--subject must have 1 to 1024 characters.'],
    [
      'a client that would be another path',
      [okta],
      ['--subject=a', '--client=../b'],
      '--client must be fit for a URL: no part of it between slashes may be "." or "..".',
    ],
    [
      'no issuer where there are several',
      [okta, keycloak],
      ['--subject=a', '--client=b'],
      `--issuer is missing; END_GRANT has ${ISSUER}, https://as.example/realms/home.`,
    ],
    [
      'an issuer without a row',
      [okta],
      ['--subject=a', '--client=b', '--issuer=https://typo.example'],
      `--issuer has no row of END_GRANT, which has ${ISSUER}.`,
    ],
    ['no END_GRANT', undefined, ['--subject=a'], 'END_GRANT is not set: it says how the server ends a grant.'],
    ['an END_GRANT that is none', [{ ...okta, url: CANARY }], ['--subject=a'], /^END_GRANT must be JSON/],
    [
      'a row that lacks its credential',
      [{ issuer: ISSUER, preset: 'okta' }],
      ['--subject=a', '--client=b'],
      'END_GRANT[0]: "authorization" must be the value of the header',
    ],
    [
      'a row that takes a token',
      [{ issuer: ISSUER, preset: 'rfc7009', endpoint, ...client }],
      ['--subject=a', '--client=b'],
      `The row of preset rfc7009 ${byToken}. End the grant in the server's own console, or give the issuer a row of END_GRANT with another preset; "revoke --subject … --client …" refuses the tokens issued so far.`,
    ],
    [
      'REVOKE_UPSTREAM alone',
      undefined,
      ['--subject=a', '--client=b', `--issuer=${ISSUER}`],
      new RegExp(`^REVOKE_UPSTREAM ${byToken}\\.`),
      { REVOKE_UPSTREAM: JSON.stringify({ endpoint, ...client }) },
    ],
    ['a token as an argument', [okta], [CANARY], /^There is an argument too many/],
  ])('that is %s is told in a sentence, and nothing is done', async (_name, rows, args, sentence, more = {}) => {
    const settings = { ...(rows !== undefined && { END_GRANT: JSON.stringify(rows) }), ...more };

    const { status, stdout, stderr } = await endGrant(settings, ...args);

    expect({ status, stdout }).toEqual({ status: USAGE, stdout: '' });
    if (typeof sentence === 'string') expect(stderr).toBe(`${sentence}\n`);
    else expect(stderr).toMatch(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).not.toContain(CANARY);
  });
});

test('ends by the value that a URL of a row of http names, and by nothing else', async () => {
  const { server } = await start(HYDRA_WITH_GRANT);
  const [link, other] = [await server.link('ann'), await server.link('ann')];
  const url = `${server.origin}/admin/oauth2/auth/sessions/consent?consent_request_id={grant}`;
  const row = { issuer: server.issuer, preset: 'http', method: 'DELETE', url, success: [204], reaches: 'grant' };
  const settings = { END_GRANT: JSON.stringify([{ ...row, authorization: 'Bearer obviously-fake' }]) };

  expect((await endGrant(settings, '--grant', link.grant.id)).status).toBe(DONE);

  expect(await server.refresh(link)).toMatchObject(DEAD);
  expect((await server.refresh(other)).status).toBe(200);
});

test('finds how grants are ended by an emulator in its folder', async () => {
  const { server, settings } = await start(OKTA);
  const link = await server.link('ann');
  const folder = createTemporaryFolder();
  const root = writeUnverifiedProject(folder.path, ['smart-home-unlink', 'token-authorize']);
  const file = join(root, 'infra', 'functions.yaml');
  // It is JSON that the helper has written.
  const functions = JSON.parse(readFileSync(file, 'utf8')) as { local: Record<string, unknown> };
  writeFileSync(file, JSON.stringify({ ...functions, local: { ...functions.local, ...settings } }));
  const emulator = await startEmulatorProcess(folder.path, `--bundles=${inject('bundles')}`, `--root=${root}`);
  onTestFinished(async () => {
    await killEmulator(emulator);
    folder.remove();
  });

  expect((await endGrant({}, ...argumentsOf(OKTA), '--data-dir', folder.path)).status).toBe(DONE);

  expect(await server.refresh(link)).toMatchObject(DEAD);
});
