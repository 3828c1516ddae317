import { describe, expect, test } from 'vitest';
import { sealTokens } from '#shared/account-link/provider-tokens.ts';
import { seal } from '#shared/encryption.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { GrantEnding } from '#shared/grant-revocation/end-grant.ts';
import { createRevocationJobs, type RevocationJobPorts } from '#shared/grant-revocation/revocation-jobs.ts';
import { revocationClient } from '#shared/grant-revocation/revoke-grant.ts';
import { createUpstreamJobs } from '#shared/grant-revocation/upstream-jobs.ts';
import type { OwnedJob } from '#shared/outbox/outbox.ts';
import type { OutgoingRequest, Send } from '#shared/outgoing/send.ts';
import { endingOf } from '#test/support/ending-of.ts';
import { answered } from '#test/support/matrix-ports.ts';
import { START_MS, testClient, testKey, testProvider } from '#test/support/outbox-run.ts';

const KEYS = [testKey('k1')];
const PROVIDER = testProvider('https://provider.example/revoke');
const CLIENT = { endpoint: 'https://auth.example/revoke', client_id: 'c', client_secret: 's' };
const UPSTREAM: GrantEnding = { preset: 'rfc7009', ...CLIENT };
const OF_LINK: OwnedJob = {
  ...{ id: 'j', kind: 'grant-revocation', boundTo: 'b', requestId: 'r', claim: 'c' },
  details: { subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid: 's/1', traceparent: '00-1-2-01' },
  secret: sealTokens({ accessToken: 'a' }, 'b', KEYS),
  ...{ attemptsStarted: 1, attemptsFinished: 0, createdAt: START_MS, giveUpAt: START_MS },
};
const UPSTREAM_JOB: OwnedJob = { ...OF_LINK, kind: 'upstream-revocation', secret: seal('token', 'b', KEYS) };

/** What a job comes to, and what was sent for it. */
async function run(
  job: OwnedJob,
  { endings = [UPSTREAM], ...ports }: Partial<RevocationJobPorts> & { readonly endings?: readonly GrantEnding[] } = {},
  answer = answered(200, {}),
) {
  const sent: OutgoingRequest[] = [];
  const send: Send = async (request) => {
    sent.push(request);
    return answer;
  };
  const own = { encryptionKeys: KEYS, now: () => START_MS, send };
  const doJob = createRevocationJobs({
    ...{ ...own, providers: [PROVIDER], doUpstream: createUpstreamJobs({ ...own, endings }) },
    ...ports,
  });
  const attempt = await doJob(job, 5000);
  return { attempt, sent, forms: sent.map(({ body }) => Object.fromEntries(new URLSearchParams(String(body)))) };
}

const REVOKED = { status: 'done', result: 'revoked' };

describe('a job', () => {
  test('of a link is done at its provider, which is told of no trace', async () => {
    const { attempt, sent, forms } = await run(OF_LINK);

    expect(attempt).toEqual(REVOKED);
    expect(sent).toMatchObject([{ method: 'POST', url: 'https://provider.example/revoke' }]);
    expect(sent[0]).not.toHaveProperty('traceparent');
    expect(forms).toEqual([{ token: 'a', token_type_hint: 'access_token' }]);
    expect(sent[0]?.timeoutMs).toBeLessThanOrEqual(5000);
    expect(sent[0]?.timeoutMs).toBeGreaterThan(0);
  });

  test.each(['upstream-revocation', 'unverified-upstream-revocation'] as const)(
    'of our own authorization server is done there, with the trace of the call (%s)',
    async (kind) => {
      const { attempt, sent, forms } = await run({ ...UPSTREAM_JOB, kind });

      expect(attempt).toEqual({ status: 'done', result: 'upstream_token' });
      expect(sent).toMatchObject([{ url: 'https://auth.example/revoke', traceparent: '00-1-2-01' }]);
      expect(forms).toEqual([{ token: 'token', token_type_hint: 'access_token' }]);
    },
  );

  test.each<[string, OwnedJob, Parameters<typeof run>[1]]>([
    ['whose provider is gone', OF_LINK, { providers: [] }],
    ['whose provider has no endpoint', OF_LINK, { providers: [{ type: 'oidc', name: 'dev_1' }] }],
    ['of our own server without an endpoint', UPSTREAM_JOB, { endings: [] }],
  ])('%s waits for an operator', async (_title, job, ports) => {
    expect(await run(job, ports)).toMatchObject({
      ...{ attempt: { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true }, sent: [] },
    });
  });

  test('whose provider offers no way says so', async () => {
    const providers = [{ ...PROVIDER, revocation: 'unsupported' as const }];

    expect(await run(OF_LINK, { providers })).toMatchObject({
      ...{ attempt: { status: 'done', result: 'unsupported' }, sent: [] },
    });
  });

  test.each<[string, OwnedJob]>([
    ['sealed with another key', { ...OF_LINK, secret: sealTokens({}, 'b', [testKey('k2')]) }],
    ['missing', { ...OF_LINK, secret: undefined }],
    ['bound to another job', { ...OF_LINK, boundTo: 'other' }],
    ['missing, of our own server', { ...UPSTREAM_JOB, secret: undefined }],
  ])('whose tokens are %s waits for an operator', async (_title, job) => {
    expect(await run(job)).toMatchObject({
      attempt: { status: 'retry', error: 'the tokens cannot be opened: is their key gone?', isOurFault: true },
      sent: [],
    });
  });

  test('with a defect is not taken for one that waits', async () => {
    await expect(run({ ...OF_LINK, secret: seal('{', 'b', KEYS) })).rejects.toThrow(SyntaxError);
  });

  test('is told by its attempts whether there was one before', async () => {
    const refresh = { endpoint: 'https://provider.example/token', authMethod: 'none' } as const;
    const protocol = { effect: 'grant', takes: 'live_access_token', refresh } as const;
    const providers = [{ ...PROVIDER, revocation: { ...testClient('https://provider.example/'), protocol } }];
    const job = { ...OF_LINK, secret: sealTokens({ refreshToken: 'r' }, 'b', KEYS) };
    const dead = answered(400, { error: 'invalid_grant' });

    expect((await run(job, { providers }, dead)).attempt).toEqual({ status: 'done', result: 'no_token' });
    expect((await run({ ...job, attemptsStarted: 2 }, { providers }, dead)).attempt).toMatchObject({
      status: 'failed',
    });
  });

  test('tells a provider whose account it is, where its calls name it', async () => {
    const requestOf = ({ sid }: { sid: string }) => ({ method: 'DELETE', url: `https://a.example/${sid}` }) as const;
    const client = { ...testClient('https://a.example/'), protocol: { effect: 'grant', requestOf } } as const;
    const { sid: _sid, ...details } = OF_LINK.details;

    expect((await run(OF_LINK, { providers: [{ ...PROVIDER, revocation: client }] })).sent).toMatchObject([
      { url: 'https://a.example/s/1' },
    ]);
    expect(
      (await run({ ...OF_LINK, details }, { providers: [{ ...PROVIDER, revocation: client }] })).sent,
    ).toMatchObject([{ url: 'https://a.example/' }]);
  });
});

describe('a job of our own authorization server', () => {
  const ISSUER = 'https://as.example';
  const OWN: GrantEnding = { ...UPSTREAM, issuer: ISSUER, endpoint: 'https://as.example/revoke', reaches: 'grant' };
  const ROW = {
    ...{ issuer: ISSUER, preset: 'http', method: 'DELETE', url: 'https://as.example/admin/{subject}/{grant}?k=secret' },
    ...{ authorization: 'SSWS obviously-fake', success: [204], reaches: 'all_clients' },
  };
  const HTTP = endingOf(ROW);
  const PRESENTED = { token: 'token', subject: 'ann', grant: 'g/1', jti: 'j', user: { claim: 'uid', value: '00u' } };
  const jobOf = (presented: object, issuer = ISSUER): OwnedJob => ({
    ...UPSTREAM_JOB,
    details: { issuer },
    secret: seal(JSON.stringify(presented), 'b', KEYS),
  });

  test('is done as the row of its issuer says, and else at the endpoint of all others', async () => {
    const endings = [OWN, UPSTREAM];

    const [own, other] = [await run(jobOf(PRESENTED), { endings }), await run(jobOf(PRESENTED, 'x'), { endings })];

    expect(own).toMatchObject({
      attempt: { result: 'upstream_grant' },
      sent: [{ url: OWN.endpoint }],
      forms: [{ token: 'token', token_type_hint: 'access_token' }],
    });
    expect(other).toMatchObject({ attempt: { result: 'upstream_token' }, sent: [{ url: CLIENT.endpoint }] });
  });

  test('calls an API with what was verified of the token, and with nothing else of it', async () => {
    const { attempt, sent } = await run(jobOf(PRESENTED), { endings: [HTTP] }, answered(204, {}));

    expect(attempt).toEqual({ status: 'done', result: 'upstream_all_clients' });
    expect(sent).toEqual([
      {
        ...{ method: 'DELETE', url: 'https://as.example/admin/ann/g%2F1?k=secret', traceparent: undefined },
        headers: { Accept: 'application/json', Authorization: 'SSWS obviously-fake' },
        timeoutMs: expect.any(Number),
      },
    ]);
  });

  test('names the user as the row says, of a value that was read for this claim', async () => {
    const ofUid = endingOf({ ...ROW, user_claim: 'uid' });
    expect((await run(jobOf(PRESENTED), { endings: [ofUid] })).sent).toMatchObject([
      { url: 'https://as.example/admin/00u/g%2F1?k=secret' },
    ]);

    expect(await run(jobOf(PRESENTED), { endings: [endingOf({ ...ROW, user_claim: 'oid' })] })).toMatchObject({
      attempt: { status: 'failed', error: 'nothing was sent: the token has no {subject}' },
      sent: [],
    });
  });

  test('sends nothing for a token that lacks what the settings of today take, be it in the body', async () => {
    const key = { access_key_id: 'a', secret_access_key: 's' };
    const row = { issuer: 'https://as.example/eu-north-1_pool', preset: 'cognito', reaches: 'all_clients' };
    const cognito = { ...endingOf({ ...row, authorization: key }), issuer: ISSUER };
    const hydra = endingOf({ issuer: ISSUER, preset: 'hydra', api: 'https://as.example' });

    expect(await run(jobOf(PRESENTED), { endings: [cognito] })).toEqual({
      ...{ attempt: { status: 'failed', error: 'nothing was sent: the token has no {subject}' }, sent: [], forms: [] },
    });
    // Of a list of all clients, it would take what is of none.
    expect(await run(jobOf({ token: 't', subject: 'ann' }), { endings: [hydra] })).toEqual({
      ...{ attempt: { status: 'failed', error: 'nothing was sent: the token has no {client}' }, sent: [], forms: [] },
    });
  });

  test('without a credential sends none', async () => {
    const open = endingOf({ ...ROW, authorization: undefined });

    expect((await run(jobOf(PRESENTED), { endings: [open] })).sent[0]?.headers).toEqual({ Accept: 'application/json' });
  });

  test('of a token that nobody vouched for calls no API', async () => {
    const job = { ...jobOf({ token: 'token' }), kind: 'unverified-upstream-revocation' } as const;

    expect(await run(job, { endings: [HTTP] })).toMatchObject({ attempt: { isOurFault: true }, sent: [] });
    expect((await run(job, { endings: [OWN] })).attempt).toMatchObject({ result: 'upstream_token' });
  });

  const NOW_S = START_MS / 1000;
  test.each([
    ['lives', { expiresAt: NOW_S + 1 }, 1, 'upstream_grant'],
    ['has expired', { expiresAt: NOW_S }, 1, 'upstream_token'],
    ['does not say when it expires, at the unlink', {}, 1, 'upstream_grant'],
    ['does not say when it expires, later', {}, 2, 'upstream_token'],
  ])('of a token that %s says of a 200 no more than it means', async (_title, more, attemptsStarted, result) => {
    const job = { ...jobOf({ ...PRESENTED, ...more }), attemptsStarted };

    expect((await run(job, { endings: [OWN] })).attempt).toEqual({ status: 'done', result });
  });

  test('that a row was to do is done at no other server', async () => {
    const job = jobOf(PRESENTED);
    const planned = { ...job, details: { ...job.details, by: 'END_GRANT' } };

    expect(await run(planned, { endings: [UPSTREAM] })).toMatchObject({
      ...{ attempt: { status: 'retry', isOurFault: true }, sent: [] },
    });
    expect((await run(planned, { endings: [OWN, UPSTREAM] })).attempt).toMatchObject({ result: 'upstream_grant' });
  });

  const RIGHT =
    'in END_GRANT, the credential must have the right to make this call (DELETE https://as.example/admin/{subject}/{grant})';
  const seconds = { 'retry-after': '7' };

  test.each<[string, number, object, Record<string, string>, object]>([
    ['404 has nothing to end', 404, {}, {}, { status: 'done', result: 'nothing_found' }],
    ['a success that is not among those of the row is none', 200, {}, {}, { status: 'retry', error: 'status 200' }],
    ['202 has not done it yet', 202, {}, {}, { status: 'retry', error: 'status 202' }],
    ['401 is our credential', 401, {}, {}, { status: 'retry', error: `status 401: ${RIGHT}`, isOurFault: true }],
    ['403 is our right', 403, {}, {}, { status: 'retry', error: `status 403: ${RIGHT}`, isOurFault: true }],
    ['429 names its pause', 429, {}, seconds, { status: 'retry', error: 'status 429', retryAfterMs: 7000 }],
    ['500 may pass', 500, {}, {}, { status: 'retry', error: 'status 500', retryAfterMs: undefined }],
    ['no word of OAuth says that the grant is gone', 400, { error: 'invalid_token' }, {}, { status: 'failed' }],
  ])('%s', async (_title, status, body, headers, expected) => {
    const answer = { ...answered(status, body), headers };

    expect((await run(jobOf(PRESENTED), { endings: [HTTP] }, answer)).attempt).toMatchObject(expected);
  });
});

describe('a grant that others may have', () => {
  const family = { grantFamily: 'google 1' };
  const providers = [
    { ...PROVIDER, ...family },
    { ...PROVIDER, name: 'dev_2', ...family },
    { ...PROVIDER, name: 'dev_3', grantFamily: 'google 2' },
    { ...PROVIDER, name: 'dev_4' },
  ];

  test('is asked for at all providers of the family, by the same account', async () => {
    const asked: unknown[] = [];
    const isStillLinked: RevocationJobPorts['isStillLinked'] = async (...args) => {
      asked.push(args);
      return false;
    };

    expect((await run(OF_LINK, { providers, isStillLinked })).attempt).toEqual(REVOKED);
    const identity = { fpType: 'oidc', sid: 's/1' };
    expect(asked).toEqual([[['dev_1', 'dev_2'].map((fpName) => ({ ...identity, fpName })), 5000]]);
  });

  test('stays while one has it', async () => {
    expect(await run(OF_LINK, { providers, isStillLinked: async () => true })).toMatchObject({
      ...{ attempt: { status: 'done', result: 'skipped_shared_grant' }, sent: [] },
    });
  });

  test('stays while nobody can say', async () => {
    expect(await run(OF_LINK, { providers })).toMatchObject({
      attempt: {
        ...{ status: 'retry', error: 'nobody can say whether another link has the grant', isOurFault: true },
      },
      sent: [],
    });
    const isStillLinked = () => Promise.reject(new StoreUnavailable('busy'));
    expect(await run(OF_LINK, { providers, isStillLinked })).toEqual({
      ...{ attempt: { status: 'retry', error: 'store: busy' }, sent: [], forms: [] },
    });
  });

  test('is not asked for where the provider has no family, or the job no account', async () => {
    const isStillLinked = () => Promise.reject(new TypeError('nobody is asked'));
    const { sid: _sid, ...details } = OF_LINK.details;

    expect((await run(OF_LINK, { isStillLinked })).attempt).toEqual(REVOKED);
    expect((await run({ ...OF_LINK, details }, { providers, isStillLinked })).attempt).toEqual(REVOKED);
  });

  test('does not hide a defect', async () => {
    const isStillLinked = () => Promise.reject(new TypeError('obviously fake'));

    await expect(run(OF_LINK, { providers, isStillLinked })).rejects.toThrow('obviously fake');
  });
});

test('our client at our own server authenticates by HTTP Basic', () => {
  expect(revocationClient({ endpoint: 'https://a.example', client_id: 'c', client_secret: 's' })).toEqual({
    ...{ endpoint: 'https://a.example', clientId: 'c', clientSecret: 's', authMethod: 'client_secret_basic' },
  });
});
