import { describe, expect, test } from 'vitest';
import type { KnownRevocation, UnlinkOutcome } from '#shared/account-link/account-link.ts';
import { ProtectLastLinkEnvironment, unlinkAccount } from '#shared/account-link/unlink-account.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { RevocationAttempt } from '#shared/grant-revocation/revoke-grant.ts';
import type { Job, OwnedJob } from '#shared/outbox/outbox.ts';
import { NOW_S } from '#test/support/access-ports.ts';
import { APPLICATION, createLinkPorts } from '#test/support/link-ports.ts';

const OIDC = { fpType: 'oidc', fpName: 'dev_1', sid: '1' };
const PARAMETERS = { subjectId: 'ann', ...OIDC };
const PROVIDERS = [
  { type: 'oidc', name: 'dev_1', manageUrl: 'https://provider.example/apps', revocation: {} },
  { type: 'tcs', name: 'tcs_1' },
];
const NOW_MS = NOW_S * 1000;

interface Run {
  readonly attempt?: RevocationAttempt | Error;
  readonly parameters?: object;
  readonly authorization?: string;
  readonly leftMs?: readonly number[];
  readonly protectLastLink?: boolean;
}

/** Unlinks an account that is linked with tokens; `leftMs` is what is left for the job, for the deletion, and for a try after it. */
async function startUnlink() {
  const test = createLinkPorts();
  await test.link('ann', OIDC, 'k1.sealed');
  const tried: [job: OwnedJob, timeoutMs: number][] = [];

  async function unlink({ attempt, parameters, authorization, leftMs = [], protectLastLink = false }: Run = {}) {
    // The token takes the first two.
    const left = [60_000, 60_000, ...leftMs];
    const request = {
      ...test.call({ ...PARAMETERS, ...parameters }, {}, authorization),
      remainingMs: () => (left.length > 1 ? left.shift() : left[0]) ?? 0,
    };
    return unlinkAccount(request, {
      ...test.ports,
      ...{ providers: PROVIDERS, protectLastLink, now: () => NOW_MS, random: () => 0.5 },
      async doJob(job, timeoutMs) {
        tried.push([job, timeoutMs]);
        if (attempt instanceof Error) throw attempt;
        return attempt ?? { status: 'done', result: 'revoked' };
      },
    });
  }

  const job = async (): Promise<Job | undefined> => {
    const states = ['pending', 'done', 'dead', 'set_aside'] as const;
    const jobs = await Promise.all(states.map((state) => test.directory.outbox.list(state, { limit: 10 })));
    return jobs.flat()[0];
  };
  return { ...test, unlink, tried, job };
}

describe('with time for a try', () => {
  test('withdraws the grant at once, and says what came of it', async () => {
    const { unlink, tried, noted, audited, directory } = await startUnlink();

    expect(await unlink()).toEqual({ revocation: 'revoked', manageUrl: 'https://provider.example/apps' });

    expect(await directory.links.list('ann')).toEqual([]);
    const [[job, timeoutMs] = []] = tried;
    expect(timeoutMs).toBe(2000);
    expect(job).toMatchObject({
      ...{ kind: 'grant-revocation', details: { subject: 'ann', ...OIDC }, secret: 'k1.sealed', requestId: 'r-1' },
      boundTo: '["ann","oidc","dev_1","1"]',
    });
    expect(noted).toMatchObject({ provider: 'oidc:dev_1', revocation: 'revoked' });
    expect(noted).not.toHaveProperty('revocation_error');
    expect(audited).toEqual([
      ['account_link.unlinked', { ...OIDC, subject: 'ann', actor: 'subject:ann', revocation: 'revoked' }],
    ]);
  });

  test.each<[string, RevocationAttempt | Error, string, object, object]>([
    ['another result', { status: 'done', result: 'unsupported' }, 'unsupported', {}, { state: 'done' }],
    [
      'a pause',
      { status: 'retry', error: 'status 503', retryAfterMs: 60_000 },
      'pending',
      { revocation_error: 'status 503' },
      { state: 'pending', dueAt: NOW_MS + 60_000 },
    ],
    [
      'a failure',
      { status: 'failed', error: 'status 404' },
      'failed',
      { revocation_error: 'status 404' },
      { state: 'dead' },
    ],
    ['a defect', new Error('obviously fake'), 'pending', { revocation_error: 'unexpected' }, { state: 'pending' }],
  ])('that comes to %s, the link is deleted and the job is kept', async (_title, attempt, revocation, note, kept) => {
    const { unlink, noted, job, directory } = await startUnlink();

    expect(await unlink({ attempt })).toMatchObject({ revocation });
    expect(noted).toMatchObject({ revocation, ...note });
    expect(await job()).toMatchObject(kept);
    expect(await directory.links.list('ann')).toEqual([]);
  });

  test('tells an operator of what they alone can help', async () => {
    const { unlink, alerts } = await startUnlink();

    await unlink({ attempt: { status: 'failed', error: 'status 404' } });

    expect(alerts).toMatchObject([['an outbox job is given up', { error: 'status 404' }]]);
  });

  test('has the job to itself for 30 seconds, though its end cannot be recorded', async () => {
    const { unlink, ports, job } = await startUnlink();
    Object.assign(ports.directory.outbox, { settle: () => Promise.reject(new TypeError('obviously fake')) });

    expect(await unlink()).toMatchObject({ revocation: 'pending' });
    expect(await job()).toMatchObject({ state: 'pending', dueAt: NOW_MS + 30_000, attemptsStarted: 1 });
  });

  test('tries for half of what is left, up to two seconds', async () => {
    const { unlink, tried } = await startUnlink();

    await unlink({ leftMs: [1500, 1500, 750] });

    expect(tried.map(([, timeoutMs]) => timeoutMs)).toEqual([375]);
  });
});

test.each([
  ['from the start', [1499], { dueAt: NOW_MS, attemptsStarted: 0 }],
  ['once it is deleted', [5000, 5000, 749], { dueAt: NOW_MS + 30_000, attemptsStarted: 1 }],
])('without time for a try %s, leaves the job to maintenance', async (_title, leftMs, kept) => {
  const { unlink, tried, job } = await startUnlink();

  expect(await unlink({ leftMs })).toMatchObject({ revocation: 'pending' });
  expect(tried).toEqual([]);
  expect(await job()).toMatchObject({ state: 'pending', ...kept });
});

test.each([
  ['of a provider that offers no way', { fpType: 'tcs', fpName: 'tcs_1', sid: '2' }, 'k1.sealed', 'unsupported'],
  ['without tokens', { ...OIDC, sid: '2' }, undefined, 'no_token'],
])('of a link %s there is no job', async (_title, identity, tokens, revocation) => {
  const { unlink, link, job, audited } = await startUnlink();
  await link('ann', identity, tokens);

  expect(await unlink({ parameters: identity })).toMatchObject({ revocation });
  expect(await job()).toBeUndefined();
  expect(audited).toMatchObject([['account_link.unlinked', { revocation }]]);
});

test('of a provider that is not listed any more the job waits, and its name is not logged', async () => {
  const { unlink, link, noted } = await startUnlink();
  const gone = { fpType: 'gone', fpName: 'gone_1', sid: '2' };
  await link('ann', gone, 'k1.sealed');
  const retry = { status: 'retry', error: 'no such provider', isOurFault: true } as const;

  expect(await unlink({ parameters: gone, attempt: retry })).toEqual({ revocation: 'pending' });
  expect(noted).not.toHaveProperty('provider');
});

describe('repeated within a day', () => {
  test('succeeds, with what has become of the grant, and changes nothing', async () => {
    const { unlink, noted, audited, tried } = await startUnlink();
    await unlink();

    expect(await unlink()).toEqual({ revocation: 'revoked', manageUrl: 'https://provider.example/apps' });
    expect(noted).toMatchObject({ repeated: true });
    expect([audited.length, tried.length]).toEqual([1, 1]);
  });

  test.each<[KnownRevocation, string]>([
    ['no_token', 'no_token'],
    ['unsupported', 'unsupported'],
    [{ state: 'pending' }, 'pending'],
    [{ state: 'set_aside' }, 'pending'],
    [{ state: 'done', result: 'already_revoked' }, 'already_revoked'],
    [{ state: 'dead', result: 'failed' }, 'failed'],
  ])('tells of a job that is %j: %s', async (known, revocation) => {
    const { unlink, ports } = await startUnlink();
    const outcome: UnlinkOutcome = { status: 'repeated', revocation: known };
    Object.assign(ports.directory.links, { unlink: async () => outcome });

    expect(await unlink()).toMatchObject({ revocation });
  });
});

describe('the last link', () => {
  test('stays where the settings say so, unless an application forces it', async () => {
    const { unlink, directory } = await startUnlink();
    const protect = { protectLastLink: true };
    const force = { parameters: { force: 'true' } };

    await expect(unlink(protect)).rejects.toMatchObject({
      ...{ code: 'last_login_method', message: "The subject's last link cannot be deleted." },
    });
    await expect(unlink({ ...protect, ...force })).rejects.toMatchObject({
      ...{ code: 'insufficient_scope', message: 'Only an application may force a deletion.' },
    });
    await expect(
      unlink({ ...protect, parameters: { force: 'false' }, authorization: APPLICATION }),
    ).rejects.toMatchObject({ code: 'last_login_method' });
    expect(await directory.links.list('ann')).toHaveLength(1);

    expect(await unlink({ ...protect, ...force, authorization: APPLICATION })).toMatchObject({ revocation: 'revoked' });
  });

  test('is protected by the settings', () => {
    const { PROTECT_LAST_LINK } = ProtectLastLinkEnvironment;

    expect([undefined, 'false', 'true'].map((text) => PROTECT_LAST_LINK.parse(text))).toEqual([
      'false',
      'false',
      'true',
    ]);
    expect(PROTECT_LAST_LINK.safeParse('1').error?.issues).toMatchObject([{ message: 'must be true or false' }]);
  });
});

test.each([
  [{ sid: '' }, 'invalid_request', /^The parameter sid must be 1 to 255 characters/],
  [{ force: '1' }, 'invalid_request', /^The parameter force must be true or false\.$/],
  [{ subjectId: 'bob' }, 'insufficient_scope', /^The credential does not allow this/],
  [{ sid: 'other' }, 'not_found', /^There is no such link\.$/],
  [{ fpName: 'other' }, 'invalid_request', /^There is no such provider: fpType and fpName name none\.$/],
])('refuses %j', async (parameters, code, message) => {
  const { unlink, directory } = await startUnlink();

  await expect(unlink({ parameters })).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  expect(await directory.links.list('ann')).toHaveLength(1);
});

test('tells the directory who did it, and asks it again while it is unavailable and the time lasts', async () => {
  const { unlink, ports } = await startUnlink();
  const told: object[] = [];
  const { unlink: really } = ports.directory.links;
  Object.assign(ports.directory.links, {
    unlink: async (...args: Parameters<typeof really>) => {
      told.push(args[0]);
      if (told.length === 1) throw new StoreUnavailable('busy');
      return really(...args);
    },
  });

  await unlink({ authorization: APPLICATION });

  expect(told).toHaveLength(2);
  expect(told[1]).toMatchObject({
    ...{ ...OIDC, subject: 'ann', force: false, keepLast: false },
    audit: { actor: 'client:skill', requestId: 'r-1' },
  });
});
