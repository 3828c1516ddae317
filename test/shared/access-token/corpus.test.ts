import { describe, expect, test } from 'vitest';
import { AccessTokenEnvironment } from '#shared/access-token/issuers.ts';
import {
  createAccessTokenVerifier,
  type Verification,
  type VerifyAccessToken,
  type VerifyOptions,
} from '#shared/access-token/verify.ts';
import type { JsonObject } from '#shared/json.ts';
import { send } from '#shared/outgoing/send.ts';
import { type Asked, CORPUS_JWKS, corpusKeys, corpusText, introspects } from '#test/support/corpus-issuer.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { CORPUS_ISSUER, type CorpusCase, corpusAt, corpusTable } from '#test/support/token-corpus.ts';

const NOW_S = 1_700_000_010;
const CASES = corpusAt(NOW_S);

/** A verifier that knows these rows of `ISSUERS`, read as a function reads them. */
function verifierOf(rows: readonly JsonObject[]): VerifyAccessToken {
  const text = JSON.stringify(rows.map((row) => ({ issuer: CORPUS_ISSUER, ...row })));
  const ISSUERS = AccessTokenEnvironment.ISSUERS.parse(text);
  return createAccessTokenVerifier({ ISSUERS }, { send, now: () => NOW_S * 1000 });
}

/** What a case comes to, with its own row or one that differs. */
async function verify(
  one: CorpusCase,
  changes: JsonObject = {},
  options: VerifyOptions = { timeoutMs: 2000 },
): Promise<Verification> {
  const text = await corpusText(one);
  if (!one.isIntrospected) return verifierOf([{ ...one.row, ...corpusKeys(one), ...changes }])(text, options);
  const endpoint = await startHttpServer(introspects(new Map([[text, one.claims]])));
  const introspection = { endpoint, client_id: 'caller', client_secret: 's' };
  return verifierOf([{ ...one.row, introspection, ...changes }])(text, options);
}

/** The client of the tokens that do not name the usual one. */
const CLIENTS: Readonly<Record<string, string>> = { zitadel: '771', entra: 'app' };

/** What names the grant, by server; the other servers' tokens name none. */
const GRANTS: Readonly<Record<string, { claim: string; value: string }>> = {
  hydra: { claim: 'ext.grant_id', value: 'g1' },
  spring: { claim: 'grant_id', value: 'g1' },
  oidc_provider: { claim: 'grant_id', value: 'g1' },
  zitadel: { claim: 'jti', value: 'V2_551' },
  fusionauth: { claim: 'sid', value: 'rt1' },
  cognito: { claim: 'origin_jti', value: 'oj1' },
  okta: { claim: 'jti', value: 'oar1' },
  supertokens: { claim: 'gid', value: 'g1' },
};

/** Every audience of a server's tokens: a row that names them all keeps no other kind out by `aud`. */
function audiencesOf({ server }: CorpusCase): string[] {
  const all = CASES.filter((one) => one.server === server).flatMap(({ claims }) => [claims.aud].flat());
  return all.filter((audience) => typeof audience === 'string');
}

const isOf = (...wanted: string[]) => CASES.filter((one) => wanted.includes(one.wanted));
const isRefused = ({ wanted }: CorpusCase) => !['user', 'no_user', 'own_subject', 'inactive'].includes(wanted);

describe('an access token of a real server', () => {
  test.each(corpusTable(isOf('user')))('%s is accepted, with its subject, client and grant', async (_title, one) => {
    expect(await verify(one)).toMatchObject({
      status: 'verified',
      token: {
        issuer: CORPUS_ISSUER,
        subject: one.claims.sub,
        isApplication: false,
        client: CLIENTS[one.server] ?? 'spk',
        grant: GRANTS[one.server],
      },
    });
  });

  test.each(
    corpusTable(isOf('user').filter(({ row }) => Array.isArray(row.audience) || typeof row.audience === 'string')),
  )('%s is refused when it is for another audience', async (_title, one) => {
    const audience = one.row.audience === 'none' ? 'https://other.test' : ['https://other.test'];
    expect(await verify(one, { audience })).toEqual({ status: 'refused', reason: 'wrong_audience' });
  });

  test('is refused when it is of another client than a row without an audience names', async () => {
    const [cognito] = CASES.filter(({ server, name }) => server === 'cognito' && name === 'at');
    expect(await verify(cognito as CorpusCase, { clients: ['other'] })).toEqual({
      status: 'refused',
      reason: 'wrong_client',
    });
  });
});

describe('a client’s own token', () => {
  test.each(corpusTable(isOf('no_user')))('%s names no user', async (_title, one) => {
    expect(await verify(one)).toMatchObject({
      status: 'verified',
      token: { subject: undefined, isApplication: false },
    });
  });

  test.each(corpusTable(isOf('no_user')))('%s is an application’s where its row declares it', async (_title, one) => {
    const clients = ['bot', 'app2'];
    expect(await verify(one, { client_tokens: clients })).toMatchObject({
      status: 'verified',
      token: { subject: undefined, isApplication: true, client: expect.toBeOneOf(clients) },
    });
  });

  // The server made up a user for the client: nothing in the token says so, and no person has that subject.
  test.each(corpusTable(isOf('own_subject')))('%s names the client’s own user', async (_title, one) => {
    expect(await verify(one, { client_tokens: ['bot'] })).toMatchObject({
      status: 'verified',
      token: { subject: 'svc9', isApplication: false, client: 'bot' },
    });
  });
});

describe('a token of another kind', () => {
  test.each(corpusTable(CASES.filter(isRefused)))('%s is refused, and the reason is its kind', async (_title, one) => {
    expect(await verify(one)).toEqual({ status: 'refused', reason: one.wanted });
  });

  test.each(corpusTable(CASES.filter((one) => isRefused(one) && !one.isIntrospected && one.row.audience !== 'none')))(
    '%s is refused for its kind though it is for an audience of ours',
    async (_title, one) => {
      expect(await verify(one, { audience: audiencesOf(one).concat('home') })).toEqual({
        status: 'refused',
        reason: one.wanted,
      });
    },
  );

  test.each(corpusTable(isOf('inactive')))('%s is inactive, whatever else the answer says', async (_title, one) => {
    expect(await verify(one)).toEqual({ status: 'inactive' });
  });
});

describe('a refresh token that its server calls active', () => {
  const options: VerifyOptions = { timeoutMs: 2000, atAnyTime: true, refreshTokens: { hint: 'refresh_token' } };
  const refreshTokens = CASES.filter(({ name }) => /^i_rt|^rt/.test(name));

  test.each(corpusTable(refreshTokens.filter(({ isIntrospected }) => isIntrospected)))(
    '%s is known as one to who asks for such, with its client and grant',
    async (_title, one) => {
      const { status, ...known } = await verify(one, {}, options);
      expect(status).toBe('refresh');
      const grant = one.server === 'hydra' ? GRANTS.hydra : undefined;
      expect(known).toMatchObject({ token: { subject: one.claims.sub, client: 'spk', grant } });
    },
  );

  test.each(corpusTable(CASES.filter(({ name }) => /^i_id|^id|^lo|^userinfo|^info/.test(name))))(
    '%s, which is none, is not taken for one',
    async (_title, one) => {
      expect(await verify(one, {}, options)).toEqual({ status: 'refused', reason: one.wanted });
    },
  );

  test('is not what an ID token without a mark is, at an issuer that is asked', async () => {
    const unmarked = CASES.find(({ server, name }) => server === 'auth0' && name === 'id_bare') as CorpusCase;
    const { header, claims } = unmarked;
    const asked = { ...unmarked, isIntrospected: true, text: { header, claims }, claims: { ...claims, active: true } };
    expect(await verify({ ...asked, row: {} }, {}, options)).toEqual({ status: 'refused', reason: 'unmarked' });
  });

  test('is asked about where its key is hidden, and an ID token whose signature says what it is, is not', async () => {
    const [rt, id] = ['rt', 'id'].map((name) => CASES.find((one) => one.server === 'keycloak' && one.name === name));
    const texts = await Promise.all([rt, id].map((one) => corpusText(one as CorpusCase)));
    const asked: Asked[] = [];
    const answers = new Map(texts.map((text) => [text, { active: true, client_id: 'spk', typ: 'Refresh' }]));
    const endpoint = await startHttpServer(introspects(answers, asked));
    const introspection = { endpoint, client_id: 'caller', client_secret: 's' };
    const verifyBoth = verifierOf([{ audience: ['home', 'spk'], jwks: CORPUS_JWKS, introspection }]);
    expect(await verifyBoth(texts[0] ?? '', options)).toMatchObject({ status: 'refresh', token: { client: 'spk' } });
    expect(await verifyBoth(texts[1] ?? '', options)).toEqual({ status: 'refused', reason: 'wrong_type' });
    expect(asked).toEqual([{ token: texts[0], hint: 'refresh_token' }]);
  });
});

describe('an opaque token of one of several issuers', () => {
  const [ofOne, ofNone] = [new Map([['opaque', { active: true, token_use: 'refresh_token' }]]), new Map()];

  test.each([
    ['first', [ofOne, ofNone]],
    ['last', [ofNone, ofOne]],
  ])('is refused when the %s knows it as a refresh token: the others know nothing of it', async (_title, all) => {
    const rows = await Promise.all(
      all.map(async (answers, index) => ({
        issuer: `https://as${index}.test`,
        introspection: { endpoint: await startHttpServer(introspects(answers)), client_id: 'c', client_secret: 's' },
      })),
    );
    expect(await verifierOf(rows)('opaque', { timeoutMs: 2000 })).toEqual({
      status: 'refused',
      reason: 'refresh_token',
    });
  });
});

test('an issuer is asked with the hint access_token, and with the caller’s own where refresh tokens are meant', async () => {
  const asked: Asked[] = [];
  const endpoint = await startHttpServer(introspects(new Map(), asked));
  const verifyAsked = verifierOf([{ introspection: { endpoint, client_id: 'c', client_secret: 's' } }]);
  await verifyAsked('one', { timeoutMs: 2000 });
  await verifyAsked('two', { timeoutMs: 2000, refreshTokens: { hint: 'refresh_token' } });
  await verifyAsked('three', { timeoutMs: 2000, refreshTokens: { hint: undefined } });
  expect(asked.map(({ hint }) => hint)).toEqual(['access_token', 'refresh_token', null]);
});

describe('a token whose subject is its client', () => {
  test.each<[name: string, row: JsonObject, claims: JsonObject]>([
    ['by the client_id', {}, { sub: 'bot', client_id: 'bot' }],
    ['by a name besides the one that the row goes by', { client_claim: 'app' }, { sub: 'bot', app: 'x', azp: 'bot' }],
    ['by its audience, where it names no client', { audience: ['home', 'bot'] }, { sub: 'bot', aud: ['bot'] }],
  ])('names no user: %s', async (_name, row, claims) => {
    const [base] = CASES.filter(({ server, name }) => server === 'oidc_provider' && name === 'at');
    const { client_id: _client, ...others } = (base as CorpusCase).claims;
    const one = { ...(base as CorpusCase), claims: { ...others, ...claims } };
    expect(await verify(one, row)).toMatchObject({ status: 'verified', token: { subject: undefined } });
  });
});

test.each(['ID.1', 'id.1', 'RT.1', 'rt.1'])('a jti %s says that the token is of another kind', async (jti) => {
  const [at] = CASES.filter(({ server, name }) => server === 'oidc_provider' && name === 'at');
  const { claims } = at as CorpusCase;
  expect(await verify({ ...(at as CorpusCase), claims: { ...claims, jti } })).toMatchObject({ status: 'refused' });
});
