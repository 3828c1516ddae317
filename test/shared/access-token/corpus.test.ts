import { describe, expect, test } from 'vitest';
import { AccessTokenEnvironment } from '#shared/access-token/issuers.ts';
import { createAccessTokenVerifier, type Verification, type VerifyAccessToken } from '#shared/access-token/verify.ts';
import type { JsonObject } from '#shared/json.ts';
import { send } from '#shared/outgoing/send.ts';
import { corpusKeys, corpusText, introspects } from '#test/support/corpus-issuer.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { CORPUS_ISSUER, type CorpusCase, corpusAt, corpusTable } from '#test/support/token-corpus.ts';

const NOW_S = 1_700_000_010;
const CASES = corpusAt(NOW_S);

/** A verifier that knows one row of `ISSUERS`, read as a function reads it. */
function verifierOf(row: JsonObject): VerifyAccessToken {
  const { ISSUERS } = AccessTokenEnvironment;
  const rows = ISSUERS.parse(JSON.stringify([{ issuer: CORPUS_ISSUER, ...row }]));
  return createAccessTokenVerifier({ ISSUERS: rows }, { send, now: () => NOW_S * 1000 });
}

/** What a case comes to, with its own row or one that differs. */
async function verify(one: CorpusCase, changes: JsonObject = {}): Promise<Verification> {
  const text = await corpusText(one);
  if (!one.isIntrospected) return verifierOf({ ...one.row, ...corpusKeys(one), ...changes })(text, { timeoutMs: 2000 });
  const endpoint = await startHttpServer(introspects(new Map([[text, one.claims]])));
  const introspection = { endpoint, client_id: 'caller', client_secret: 's' };
  return verifierOf({ ...one.row, introspection, ...changes })(text, { timeoutMs: 2000 });
}

/** The client of the tokens that do not name the usual one. */
const CLIENTS: Readonly<Record<string, string>> = { zitadel: '771', entra: 'app' };

/** What names the grant, by server; the other servers' tokens name none. */
const GRANTS: Readonly<Record<string, { claim: string; value: string }>> = {
  hydra: { claim: 'ext.grant_id', value: 'g1' },
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
