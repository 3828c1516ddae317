/**
 * No token passes for more than it is: whatever is taken from a token of the corpus, and whatever mark of another kind is
 * added to one, it is never accepted for a user where it was not before.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AccessTokenEnvironment } from '#shared/access-token/issuers.ts';
import { createAccessTokenVerifier } from '#shared/access-token/verify.ts';
import type { JsonObject } from '#shared/json.ts';
import { OutgoingFailure } from '#shared/outgoing/send.ts';
import { CORPUS_JWKS, corpusText } from '#test/support/corpus-issuer.ts';
import { CORPUS_ISSUER, type CorpusCase, corpusAt, corpusTable } from '#test/support/token-corpus.ts';

const NOW_S = 1_700_000_010;
const CASES = corpusAt(NOW_S);

/** What the audiences of a server's tokens are: none but the kind keeps a token out. */
function audienceOf({ server, row }: CorpusCase): JsonObject {
  if (row.audience === 'none') return {};
  const all = CASES.filter((one) => one.server === server).flatMap(({ claims }) => [claims.aud].flat());
  return { audience: ['home', ...all.filter((audience) => typeof audience === 'string')] };
}

/** Whether a token is accepted, and as a user's. */
async function outcomeOf(one: CorpusCase): Promise<'user' | 'no_user' | 'refused'> {
  const text = await corpusText(one);
  const introspection = { endpoint: 'https://as.test/introspect', client_id: 'caller', client_secret: 's' };
  const keys = one.row.secret === undefined ? { jwks: CORPUS_JWKS } : {};
  const source = one.isIntrospected ? { introspection } : { ...keys, ...audienceOf(one) };
  const ISSUERS = AccessTokenEnvironment.ISSUERS.parse(
    JSON.stringify([{ issuer: CORPUS_ISSUER, ...one.row, ...source }]),
  );
  const verify = createAccessTokenVerifier(
    { ISSUERS },
    {
      now: () => NOW_S * 1000,
      send: async () => ({ status: 200, headers: {}, body: Buffer.from(JSON.stringify(one.claims)) }),
    },
  );
  const verification = await verify(text, { timeoutMs: 1000 }).catch((error: unknown) => {
    // An answer without "active" is none: nothing is accepted by it either.
    if (error instanceof OutgoingFailure) return undefined;
    throw error;
  });
  if (verification?.status !== 'verified') return 'refused';
  return verification.token.subject === undefined ? 'no_user' : 'user';
}

const without = (members: JsonObject, ...names: string[]): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));

/** Members that say that a token is not an access token, in the words of some server: R2 and R3. */
const OTHER_KINDS: readonly JsonObject[] = [
  ...['ID', 'Refresh', 'Offline', 'Logout', 'id', 'serialized-id', 7, true].map((typ) => ({ typ })),
  ...['id', 'refresh', 'refresh_token', 'ID', {}].map((token_use) => ({ token_use })),
  ...['refresh_token', 'Refresh', 'id_token', 'N_A'].map((token_type) => ({ token_type })),
  ...['refresh-token', 'id-token'].flatMap((type) => [{ tokenType: type }, { TokenType: type }]),
  ...[0, 2, '1'].map((stt) => ({ stt })),
  ...[1, 2, '0'].map((tt) => ({ tt })),
  ...['ID.x', 'RT.x', 'id.x'].map((jti) => ({ jti })),
  ...[{ 'http://schemas.openid.net/event/backchannel-logout': {} }, {}, 'x', ['x']].map((events) => ({ events })),
];
const OTHER_HEADERS = [
  'logout+jwt',
  'secevent+jwt',
  'dpop+jwt',
  'token-introspection+jwt',
  'oi_reft+jwt',
  'JOSE',
  7,
  {},
];
/** Members of ID tokens, which count where nothing else says what a token is. */
const ID_TOKEN_MEMBERS = ['nonce', 'at_hash', 'c_hash', 's_hash'];

const accepted = CASES.filter(({ wanted }) => wanted === 'user');
const clients = CASES.filter(({ wanted }) => wanted === 'no_user');
const refused = CASES.filter(({ wanted }) => !['user', 'no_user', 'own_subject'].includes(wanted));
const anyOf = (cases: readonly CorpusCase[]) => fc.constantFrom(...cases);
const otherKind = fc.constantFrom(...OTHER_KINDS);
const otherHeader = fc.constantFrom(...OTHER_HEADERS).map((typ): JsonObject => ({ typ }));

/** Adds the mark of another kind to a token, or to the answer about it. */
const marked = (one: CorpusCase, mark: JsonObject): CorpusCase => ({ ...one, claims: { ...one.claims, ...mark } });

describe('a mark of another kind', () => {
  test.each(corpusTable(accepted))('in %s refuses it, whatever else it says', async (_title, one) => {
    const outcomes = await Promise.all(OTHER_KINDS.map((mark) => outcomeOf(marked(one, mark))));
    expect(OTHER_KINDS.filter((_mark, index) => outcomes[index] !== 'refused')).toEqual([]);
  });

  test.each(corpusTable(accepted.filter(({ isIntrospected }) => !isIntrospected)))(
    'in the header of %s refuses it',
    async (_title, one) => {
      const outcomes = await Promise.all(OTHER_HEADERS.map((typ) => outcomeOf({ ...one, header: { typ } })));
      expect(OTHER_HEADERS.filter((_typ, index) => outcomes[index] !== 'refused')).toEqual([]);
    },
  );

  test('never makes a token acceptable, be they several, and be members missing', async () => {
    const marks = fc.tuple(fc.array(otherKind, { maxLength: 2 }), fc.option(otherHeader, { nil: undefined }));
    await fc.assert(
      fc.asyncProperty(anyOf(refused), marks, fc.subarray(ID_TOKEN_MEMBERS), async (one, [kinds, header], members) => {
        const idToken = Object.fromEntries(members.map((name) => [name, 'x']));
        const claims = Object.assign({}, one.claims, ...kinds, idToken);
        expect(await outcomeOf({ ...one, header: header ?? one.header, claims })).toBe('refused');
      }),
      { numRuns: 400 },
    );
  });
});

describe('a member that is missing', () => {
  /**
   * The one word by which the server says that its token is no access token, where the rest of it, or the row, says that
   * it is one. Without it nobody can tell; it is no claim that an access token needs.
   */
  const ONLY_MARKS: Readonly<Record<string, readonly string[]>> = {
    'hydra: i_rt': ['token_use'],
    'dex: i_rt': ['token_use'],
    'duende: i_rt': ['token_type'],
    'casdoor: rt_custom': ['TokenType'],
  };

  test.each(corpusTable(refused))('from %s makes it no access token', async (title, one) => {
    const widened: string[] = [];
    for (const name of Object.keys(one.claims)) {
      if ((await outcomeOf({ ...one, claims: without(one.claims, name) })) !== 'refused') widened.push(name);
    }
    if ((await outcomeOf({ ...one, header: {} })) !== 'refused') widened.push('header typ');
    expect(widened).toEqual(ONLY_MARKS[title] ?? []);
  });

  /** What the subject of a client's token is compared with. Without it the subject could be a user's. */
  const CLIENT_NAMES: Readonly<Record<string, readonly string[]>> = {
    'oidc_provider: cc': ['client_id'],
    'entra: cc': ['oid'],
    'okta: cc': ['cid'],
  };

  test.each(corpusTable(clients))('from %s makes it no user’s', async (title, one) => {
    const widened: string[] = [];
    for (const name of Object.keys(one.claims)) {
      if ((await outcomeOf({ ...one, claims: without(one.claims, name) })) === 'user') widened.push(name);
    }
    expect(widened).toEqual(CLIENT_NAMES[title] ?? []);
  });

  test.each(corpusTable(accepted))('that is required refuses %s', async (_title, one) => {
    const required = one.isIntrospected ? ['active'] : ['iss', 'exp', ...(one.row.audience === 'none' ? [] : ['aud'])];
    const outcomes = await Promise.all(
      required.map((name) => outcomeOf({ ...one, claims: without(one.claims, name) })),
    );
    expect(outcomes).toEqual(required.map(() => 'refused'));
    expect(await outcomeOf({ ...one, claims: without(one.claims, 'sub') })).not.toBe('user');
  });
});
