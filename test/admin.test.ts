import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { runAdmin, runAdminAtTerminal, type Settings } from './support/admin-process.ts';
import { startProject, TEST_PEPPERS } from './support/emulated-project.ts';
import { killEmulator, startEmulatorProcess } from './support/emulator-process.ts';
import { startHttpServer } from './support/http-server.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from './support/test-issuer.ts';

const OTHER_ISSUER = 'https://other.example';
const [issuerRow] = JSON.parse(ISSUER_SETTINGS.ISSUERS);
const TWO_ISSUERS = JSON.stringify([issuerRow, { ...issuerRow, issuer: OTHER_ISSUER }]);

const NOT_REVOKED = 0;
const USAGE = 2;
const TROUBLE = 3;
const REVOKED = 4;

let settings: Settings;

beforeEach(() => {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const database = join(folder.path, 'unlink.sqlite');
  migrateSqlite(database);
  const { ISSUERS, GRANT_CLAIM } = ISSUER_SETTINGS;
  settings = { STORE_URL: `sqlite:${database}`, TOKEN_PEPPERS: TEST_PEPPERS, ISSUERS, GRANT_CLAIM };
});

const admin = (args: readonly string[], input = '', env: Settings = settings) => runAdmin(args, env, input);
const adminAtTerminal = (args: readonly string[], typed: string) => runAdminAtTerminal(args, settings, typed);
const check = async (token: string, env = settings) => (await admin(['check', '--token-stdin'], token, env)).status;
const revoke = (...args: string[]) => admin(['revoke', '--yes', ...args]);

describe('revoke', () => {
  test('of a subject ends the tokens issued so far, at all clients, and none that is issued later', async () => {
    const tokens = [
      await issueToken(),
      await issueToken({ client_id: 'other' }),
      await issueToken({ client_id: undefined }),
    ];
    const later = await issueToken({ iat: Math.floor(Date.now() / 1000) + 60 });
    const others = await issueToken({ sub: 'user-2' });

    expect(await revoke('--subject', 'user-1')).toMatchObject({ status: 0, stderr: '' });
    expect(await Promise.all(tokens.map((token) => check(token)))).toEqual([REVOKED, REVOKED, REVOKED]);
    expect(await Promise.all([check(later), check(others)])).toEqual([NOT_REVOKED, NOT_REVOKED]);
  });

  test.each([
    ['ahead', 120, 60, 300],
    ['behind', -300, -400, -60],
  ])("of a subject reaches up to now by the issuer's clock, which is %s", async (_name, offsetS, reached, left) => {
    const nowS = Math.floor(Date.now() / 1000);
    const tokens = [await issueToken({ iat: nowS + reached }), await issueToken({ iat: nowS + left })];
    const env = { ...settings, ISSUERS: JSON.stringify([{ ...issuerRow, iat_offset_s: offsetS }]) };

    expect((await admin(['revoke', '--yes', '--subject', 'user-1'], '', env)).status).toBe(0);
    expect(await Promise.all(tokens.map((token) => check(token)))).toEqual([REVOKED, NOT_REVOKED]);
  });

  test('of a subject at a client ends that link alone', async () => {
    const tokens = await Promise.all([
      issueToken(),
      issueToken({ grant_id: 'a-grant' }),
      issueToken({ client_id: 'other' }),
      issueToken({ client_id: undefined }),
      issueToken({ sub: 'user-2' }),
    ]);
    expect((await revoke('--subject', 'user-1', '--client', 'skill')).status).toBe(0);
    expect(await Promise.all(tokens.map((token) => check(token)))).toEqual([
      ...[REVOKED, REVOKED],
      ...[NOT_REVOKED, NOT_REVOKED, NOT_REVOKED],
    ]);
  });

  test('of a client ends the tokens of all its subjects', async () => {
    const tokens = [await issueToken(), await issueToken({ sub: 'user-2' }), await issueToken({ client_id: 'other' })];
    expect((await revoke('--client', 'skill')).status).toBe(0);
    expect(await Promise.all(tokens.map((token) => check(token)))).toEqual([REVOKED, REVOKED, NOT_REVOKED]);
  });

  test('of a token ends its whole grant, though the token has expired', async () => {
    const [token, sibling, other] = await Promise.all([
      issueToken({ grant_id: 'grant-1', iat: 1_700_000_000, exp: 1_700_003_600 }),
      issueToken({ grant_id: 'grant-1' }),
      issueToken({ grant_id: 'grant-2' }),
    ]);
    const { status, stdout } = await admin(['revoke', '--token-stdin', '--yes'], `${token}\n`);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Revoked\.\n\n {2}store .*\n {2}revokes +the token and its grant\n/);
    expect(stdout).toMatch(/expires at +2023-11-14T23:13:20Z \(expired\)/);
    expect(await Promise.all([token, sibling, other].map((each) => check(each)))).toEqual([
      REVOKED,
      REVOKED,
      NOT_REVOKED,
    ]);
  });

  test('of a token that nobody verifies, or that its issuer calls inactive, ends it alone, and says so', async () => {
    const url = await startHttpServer((_request, response) => response.end('{"active":false}'));
    const introspection = { endpoint: url, client_id: 'c', client_secret: 's' };
    const asked = { ...settings, ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) };
    const { ISSUERS: _, ...unverified } = settings;
    for (const [token, env, reason] of [
      ['opaque-1', asked, 'no, its issuer calls it inactive'],
      ['opaque-2', unverified, 'no, ISSUERS is not set'],
    ] as const) {
      const before = await admin(['check', '--token-stdin'], token, env);
      expect(before).toMatchObject({ status: NOT_REVOKED });
      expect(before.stdout).toContain('Not revoked by its own id; its grant, subject and client are not known.');
      const { stdout } = await admin(['revoke', '--token-stdin', '--yes'], token, env);
      expect(stdout).toContain('the token alone: its grant is not known');
      expect(stdout).toContain(reason);
      expect(await check(token, env)).toBe(REVOKED);
    }
  });

  test('of a Matrix token records its text alone, asks no issuer, and says what it does not reach', async () => {
    let calls = 0;
    const url = await startHttpServer((_request, response) => {
      calls += 1;
      response.end('{"active":false}');
    });
    const introspection = { endpoint: url, client_id: 'c', client_secret: 's' };
    const asked = { ...settings, ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) };
    const jwt = await issueToken();

    for (const token of ['opaque-3', jwt]) {
      expect((await admin(['check', '--token-stdin', '--matrix'], token, asked)).stdout).toContain(
        'Not revoked here. The homeserver was not asked whether it accepts the token.',
      );
      const { status, stdout } = await admin(['revoke', '--token-stdin', '--matrix', '--yes'], token, asked);
      expect(status).toBe(0);
      expect(stdout).toMatch(/revokes +a Matrix access token, at our functions alone\n/);
      expect(stdout).toMatch(/verified +no, a Matrix access token is known by its text alone\n/);
      expect((await admin(['check', '--token-stdin', '--matrix'], token, asked)).status).toBe(REVOKED);
    }
    expect(calls).toBe(0);
    // The functions that verify JWTs look at the signing input and the text.
    expect(await check(jwt)).toBe(REVOKED);
  });

  test('of a token that ISSUERS do not verify says how a Matrix token is revoked', async () => {
    const { status, stderr } = await admin(['revoke', '--token-stdin', '--yes'], 'no-such-token');
    expect(status).toBe(USAGE);
    expect(stderr).toMatch(
      /\(unknown_issuer\), and is refused as it is\. A Matrix access token is revoked with --matrix\.\n$/,
    );
  });

  test('of a cut-off says that it does not reach Matrix tokens', async () => {
    for (const args of [
      ['--subject', 'user-1'],
      ['--client', 'skill'],
      ['--subject', 'user-1', '--client', 'skill'],
    ]) {
      expect((await revoke(...args)).stdout).toMatch(
        /not reached +Matrix access tokens: each is revoked with --token-stdin --matrix\n/,
      );
    }
  });

  test('a second time succeeds and tells since when', async () => {
    const token = await issueToken();
    const [first, second] = [
      await admin(['revoke', '--token-stdin', '--yes', '--json'], token),
      await admin(['revoke', '--token-stdin', '--yes'], token),
    ];
    const { first: isFirst, at } = JSON.parse(first.stdout);
    expect(isFirst).toBe(true);
    expect(second.status).toBe(0);
    expect(second.stdout).toContain(`It was revoked already, at ${new Date(at * 1000).toISOString().slice(0, 19)}Z.`);
  });

  test('needs an issuer where there are several, and knows no other', async () => {
    const env = { ...settings, ISSUERS: TWO_ISSUERS };
    const ofOther = await issueToken({ iss: OTHER_ISSUER });
    expect(await admin(['revoke', '--yes', '--subject', 'user-1'], '', env)).toMatchObject({
      status: USAGE,
      stderr: `--issuer is missing; ISSUERS has ${ISSUER}, ${OTHER_ISSUER}.\n`,
    });
    expect(
      await admin(['revoke', '--yes', '--subject', 'user-1', '--issuer', 'https://typo.example'], '', env),
    ).toMatchObject({
      status: USAGE,
      stderr: `--issuer is none of ISSUERS: ${ISSUER}, ${OTHER_ISSUER}.\n`,
    });
    expect((await admin(['revoke', '--yes', '--subject', 'user-1', '--issuer', ISSUER], '', env)).status).toBe(0);
    expect(await Promise.all([check(await issueToken(), env), check(ofOther, env)])).toEqual([REVOKED, NOT_REVOKED]);
  });

  test('holds when a new pepper is put in front', async () => {
    const token = await issueToken();
    await revoke('--subject', 'user-1');
    const TOKEN_PEPPERS = `k2:${Buffer.alloc(32, 'q').toString('base64')},${TEST_PEPPERS}`;
    expect(await check(token, { ...settings, TOKEN_PEPPERS })).toBe(REVOKED);
  });

  test('is obeyed by the functions', async () => {
    const project = await startProject({ local: ISSUER_SETTINGS });
    onTestFinished(project.close);
    const authorization = `Bearer ${await issueToken()}`;
    expect((await project.gateway('GET', '/whoami', { authorization })).status).toBe(200);
    const env = { ...settings, STORE_URL: `sqlite:${project.database}` };
    expect((await admin(['revoke', '--yes', '--subject', 'user-1', '--client', 'skill'], '', env)).status).toBe(0);
    expect((await project.gateway('GET', '/whoami', { authorization })).status).toBe(403);
  });

  test('prints with --json one line that archives it: keyed digests, no token and no grant', async () => {
    const token = await issueToken({ grant_id: 'canary-grant' });
    const ofToken = await admin(['revoke', '--token-stdin', '--yes', '--json'], token);
    const ofSubject = await revoke('--subject', 'user-1', '--json');
    const digest = expect.stringMatching(/^k1\.[A-Za-z0-9_-]{43}$/);
    expect(ofToken.stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(ofToken.stdout)).toMatchObject({
      ...{ first: true, verification: 'verified', issuer: ISSUER, subject: 'user-1', client: 'skill', grant: true },
      revocation: { token_ids: [digest, digest], grants: [digest], cut_offs: [], expires_at: expect.any(Number) },
    });
    expect(ofToken.stdout).not.toContain('canary-grant');
    expect(ofToken.stdout).not.toContain(token.split('.')[2]);
    const { at, revocation } = JSON.parse(ofSubject.stdout);
    const cutOff = { key: digest, issued_up_to: expect.any(Number) };
    expect(revocation).toMatchObject({ token_ids: [], grants: [], cut_offs: [cutOff] });
    // A second may begin between the two.
    expect(at - revocation.cut_offs[0].issued_up_to).toBeLessThan(2);
  });
});

describe('check', () => {
  test('tells what is known of a token and by what it is revoked', async () => {
    const token = await issueToken({ iat: 1_700_000_000, exp: 4_000_000_000, grant_id: 'grant-1' });
    const before = await admin(['check', '--token-stdin'], token);
    expect(before).toMatchObject({ status: NOT_REVOKED, stderr: '' });
    expect(before.stdout).toMatch(
      /^Not revoked\.\n\n(.*\n){2} {2}verified +yes\n {2}issuer +https:\/\/auth\.example\n {2}subject +user-1\n {2}client +skill\n {2}grant +named\n {2}issued at +2023-11-14T22:13:20Z\n {2}expires at +2096-10-02T07:06:40Z\n$/,
    );
    await revoke('--subject', 'user-1');
    expect((await admin(['check', '--token-stdin'], token)).stdout).toMatch(/^Revoked, by a cut-off\./);
    await admin(['revoke', '--token-stdin', '--yes'], await issueToken({ grant_id: 'grant-1' }));
    expect((await admin(['check', '--token-stdin'], token)).stdout).toMatch(/^Revoked, by its grant\./);
    await admin(['revoke', '--token-stdin', '--yes'], token);
    const after = await admin(['check', '--token-stdin', '--json'], token);
    expect(after.status).toBe(REVOKED);
    expect(JSON.parse(after.stdout)).toMatchObject({ revoked: true, by: 'token', issued_at: 1_700_000_000 });
  });

  test('says why a token does not verify', async () => {
    const { status, stdout } = await admin(['check', '--token-stdin'], `${await issueToken()}x`);
    expect(status).toBe(NOT_REVOKED);
    expect(stdout).toMatch(/verified +no \(bad_signature\); functions refuse it as it is/);
  });

  test('shows what would steer the terminal as characters', async () => {
    const { stdout } = await admin(['check', '--token-stdin'], await issueToken({ sub: 'a\u001b[2Jb\u202e' }));
    expect(stdout).toContain('subject     a\\u{1b}[2Jb\\u{202e}\n');
  });

  test('finds the store and the peppers of an emulator in its folder', async () => {
    const folder = createTemporaryFolder();
    const emulator = await startEmulatorProcess(folder.path);
    onTestFinished(async () => {
      await killEmulator(emulator);
      folder.remove();
    });
    const answer = await fetch(`${emulator.functionsUrl}/smart-home-unlink?integration=raw`, {
      method: 'POST',
      body: JSON.stringify({
        headers: { request_id: 'x', authorization: 'Bearer opaque' },
        request_type: 'unlink',
        api_version: 1,
      }),
    });
    expect(answer.status).toBe(200);
    const dataDir = ['--data-dir', folder.path];
    expect((await admin(['check', '--token-stdin', ...dataDir], 'opaque', {})).status).toBe(REVOKED);
    expect((await admin(['check', '--token-stdin', ...dataDir], 'another', {})).status).toBe(NOT_REVOKED);
  });
});

describe('purge', () => {
  async function fill(): Promise<void> {
    const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
    const put = (id: string, expiresAt: number) => store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt });
    for (let index = 0; index < 25; index += 1) await put(`old-${index}`, 1);
    await put('kept', 4_000_000_000);
    await store.close();
  }

  test('deletes all that has expired, in batches, and nothing else', async () => {
    await fill();
    const token = await issueToken();
    await admin(['revoke', '--token-stdin', '--yes'], token);
    const first = await admin(['purge', '--yes', '--batch', '10', '--json']);
    expect(JSON.parse(first.stdout)).toEqual({ deleted: 25, store: settings.STORE_URL });
    const second = await admin(['purge', '--yes']);
    expect(second).toEqual({ status: 0, stdout: 'Deleted 0 rows that had expired.\n', stderr: '' });
    expect(await check(token)).toBe(REVOKED);
  });

  test('shows at a terminal how far it is', async () => {
    await fill();
    const { status, stdout } = await adminAtTerminal(['purge', '--yes', '--batch', '10'], '');
    expect(status).toBe(0);
    expect(stdout).toContain('\r10 rows deleted\r20 rows deleted\r25 rows deleted\r\n');
  });
});

describe('what cannot be undone', () => {
  test('is not done without a terminal to ask at, unless --yes', async () => {
    const refusal = 'Nothing was done: there is no terminal to confirm it at; --yes does it without asking.\n';
    const token = await issueToken();
    for (const args of [['revoke', '--subject', 'user-1'], ['purge'], ['revoke', '--token-stdin']]) {
      expect(await admin(args, token)).toEqual({ status: USAGE, stdout: '', stderr: refusal });
    }
    expect(await check(token)).toBe(NOT_REVOKED);
  });

  test.each([
    ['no', 'n\n'],
    ['nothing', '\n'],
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('is not done when the answer is %s', async (_name, typed) => {
    const { status, stdout } = await adminAtTerminal(['revoke', '--subject', 'user-1'], typed);
    expect(status).toBe(USAGE);
    expect(stdout).toMatch(
      /revokes +all tokens issued up to now\r\n {2}issuer +https:\/\/auth\.example\r\n {2}subject +user-1\r\n/,
    );
    expect(stdout).toContain('Nothing was done.');
    expect(await check(await issueToken())).toBe(NOT_REVOKED);
  });

  test('is done when the answer is yes', async () => {
    expect((await adminAtTerminal(['revoke', '--subject', 'user-1'], 'y\n')).status).toBe(0);
    expect(await check(await issueToken())).toBe(REVOKED);
  });

  test('names a token that is typed, unseen', async () => {
    const { status, stdout } = await adminAtTerminal(['revoke', '--token-stdin', '--yes'], 'no-such-token\n');
    expect(status).toBe(USAGE);
    expect(stdout).toContain('the token is none that ISSUERS verify (unknown_issuer)');
    expect(stdout.split('Token: ')[1]).not.toContain('no-such-token');
  });
});

describe('a mistake', () => {
  const CANARY = 'canary-of-a-secret';
  const UNVERIFIED = { STORE_URL: 'sqlite:no-such-file', TOKEN_PEPPERS: TEST_PEPPERS };

  test.each<[mistake: string, args: string[], sentence: string | RegExp, env?: Settings]>([
    ['no verb', [], /^The verb must be one of: revoke, check, purge, .*\. --help tells more\.$/m],
    ['an unknown verb', [CANARY], /^The verb must be one of: revoke, check, purge, .*\. --help tells more\.$/m],
    ['an unknown option', ['purge', '--bach=1'], "Unknown option '--bach'"],
    [
      'a token as an argument',
      ['check', CANARY],
      'There is an argument too many: all is given by options, a token by --token-stdin.',
    ],
    ['no token', ['check'], '--token-stdin is missing: a token is no argument.'],
    ['an empty token', ['check', '--token-stdin'], /^Standard input must hold one token/],
    ['nothing to revoke', ['revoke'], 'What to revoke is either --token-stdin, or --subject, --client or both.'],
    ['two things to revoke', ['revoke', '--token-stdin', '--subject=a'], /^What to revoke is either/],
    [
      'a cut-off for Matrix tokens',
      ['revoke', '--subject=a', '--matrix'],
      '--matrix goes with --token-stdin: no cut-off reaches a Matrix token.',
    ],
    ['an issuer of a token', ['revoke', '--token-stdin', '--issuer=a'], /^--issuer goes with --subject or --client/],
    ['an option twice', ['revoke', '--subject=a', '--subject=b'], '--subject is given twice.'],
    ['an empty subject', ['revoke', '--subject='], '--subject must have 1 to 1024 characters.'],
    ['a batch of none', ['purge', '--batch=0'], '--batch must be a whole number from 1 to 10000.'],
    ['a folder that is no emulator’s', ['purge', '--data-dir=docs'], /^The folder .*docs is not one of the emulator/],
    ['no store', ['purge'], /^STORE_URL must be /, {}],
    ['a store in memory', ['purge'], /^The store is memory/, { STORE_URL: 'memory:' }],
    ['a store of a wrong scheme', ['purge'], /^STORE_URL must be /, { STORE_URL: `x://u:${CANARY}@h` }],
    [
      'peppers that are none',
      ['revoke', '--subject=a'],
      /^TOKEN_PEPPERS must be /,
      { ...UNVERIFIED, TOKEN_PEPPERS: `k1:${CANARY}` },
    ],
    ['issuers that are none', ['revoke', '--subject=a'], /^ISSUERS must be JSON/, { ...UNVERIFIED, ISSUERS: CANARY }],
    ['no issuer', ['revoke', '--subject=a'], '--issuer is missing, and ISSUERS is not set.', UNVERIFIED],
    [
      'a subject where tokens are not verified',
      ['revoke', '--subject=a', '--issuer=b'],
      /^With UNVERIFIED_TOKENS=1 no subject or client is known/,
      { ...UNVERIFIED, UNVERIFIED_TOKENS: '1' },
    ],
  ])('that is %s is told in a sentence, and nothing is done', async (_name, args, sentence, env) => {
    const { status, stdout, stderr } = await admin(args, '', env ?? settings);
    expect({ status, stdout }).toEqual({ status: USAGE, stdout: '' });
    if (typeof sentence === 'string') expect(stderr).toBe(`${sentence}\n`);
    else expect(stderr).toMatch(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).not.toContain(CANARY);
  });
});

describe('trouble', () => {
  test('with the store is told in a sentence, and is never "not revoked"', async () => {
    const env = { ...settings, STORE_URL: 'sqlite:no-such-file' };
    const sentence = 'The store failed (unreachable): nothing is known to be done.\n';
    expect(
      await Promise.all([
        admin(['check', '--token-stdin'], await issueToken(), env),
        admin(['revoke', '--subject', 'user-1', '--yes'], '', env),
        admin(['purge', '--yes'], '', env),
      ]),
    ).toEqual(Array(3).fill({ status: TROUBLE, stdout: '', stderr: sentence }));
  });

  test('with an issuer is told in a sentence, and nothing is done', async () => {
    const introspection = { endpoint: 'http://127.0.0.1:1/', client_id: 'c', client_secret: 'canary' };
    const env = { ...settings, ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) };
    const sentence = 'An issuer failed (unreachable): nothing was done.\n';
    for (const args of [
      ['check', '--token-stdin'],
      ['revoke', '--token-stdin', '--yes'],
    ]) {
      expect(await admin(args, 'opaque', env)).toEqual({ status: TROUBLE, stdout: '', stderr: sentence });
    }
  });
});

test('the help names every verb, its options, the settings and the exit statuses', async () => {
  const general = await admin(['--help'], '', {});
  expect(general).toMatchObject({ status: 0, stderr: '' });
  expect(general.stdout).toMatch(/\n {2}revoke .*\n {2}check .*\n {2}purge /);
  for (const [verb, options] of [
    ['revoke', ['--token-stdin', '--matrix', '--subject <sub>', '--client <client_id>', '--issuer <iss>', '--yes']],
    ['check', ['--token-stdin', '--matrix']],
    ['purge', ['--batch <rows>', '--yes']],
    ['end-grant', ['--issuer <iss>', '--subject <id>', '--client <client_id>', '--grant <id>', 'user_claim', '--yes']],
    ['backup', ['<file>', '--directory']],
    ['rebuild-revocations', ['<file>', 'yc logging read', '--yes']],
    ['import-links', ['<file>', 'linkedAt', '--yes']],
    ['bindings list', ['--user <mxid>', '--medium <medium>', '--address <address>']],
    ['bindings forget', ['--id-server <host>', '--yes']],
    ['links list', ['--subject <sub>']],
    ['links show', ['--subject <sub>', '--provider <type>:<name>', '--sid <sid>']],
    ['outbox list', ['--state <state>', '--limit <jobs>']],
    ['outbox show', ['<job id>']],
    ['outbox replay', ['<job id>', '--yes']],
    ['rotate-keys', ['--batch <texts>']],
  ] as const) {
    expect(general.stdout).toContain(`\n  ${verb} `);
    const { status, stdout } = await admin([...verb.split(' '), '--help'], '', {});
    expect(status).toBe(0);
    for (const word of [...options, '--data-dir <folder>', '--json', 'STORE_URL', 'Exit status:']) {
      expect(stdout).toContain(word);
    }
  }
});
