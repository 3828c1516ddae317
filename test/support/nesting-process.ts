/**
 * Has each reader of foreign JSON read values of many levels, in a process whose stack its starter chooses, and prints
 * what comes of each: a line of JSON.
 */
import { createHmac } from 'node:crypto';
import { createAccessTokenVerifier } from '#shared/access-token/verify.ts';
import { findIdTokenFault } from '#shared/bind/id-token.ts';
import { createLibraryFetch } from '#shared/bind/library-fetch.ts';
import { CallerError, isFailure } from '#shared/errors.ts';
import { hasDuplicateKeys, isDeeperThan, parseJsonObject } from '#shared/json.ts';
import { jsonOf } from '#shared/outgoing/json.ts';
import type { Send } from '#shared/outgoing/send.ts';
import { canonicalJson } from '#shared/threepid/signing.ts';

/** The levels that are tried. */
const LEVELS = [16, 17, 64, 65, 500, 1000, 3000, 5000, 100_000];

const SECRET = 'obviously-fake-secret-of-an-issuer';
const ISSUER = 'https://auth.example';
const NOW_S = 1_700_000_000;

/** A JSON object of so many levels. */
const nested = (levels: number) => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
/** Claims of so many levels. */
const claimsOf = (levels: number, claims: object) =>
  `${JSON.stringify(claims).slice(0, -1)},${nested(levels).slice(1)}`;
const sendAnswer =
  (body: string): Send =>
  async () => ({ status: 200, headers: {}, body: Buffer.from(body) });

const part = (text: string) => Buffer.from(text).toString('base64url');

/** By hand: how long a text the library can encode depends on the stack. */
function signJwt(payload: string): string {
  const input = `${part('{"alg":"HS256","typ":"at+jwt"}')}.${part(payload)}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

const READERS: Readonly<Record<string, (levels: number) => unknown>> = {
  body: (levels) => parseJsonObject(nested(levels)) && 'taken',
  answer: (levels) => jsonOf({ status: 200, headers: {}, body: Buffer.from(nested(levels)) }) && 'taken',
  'answer for the library': async (levels) => {
    const fetch = createLibraryFetch(sendAnswer(nested(levels)), { remainingMs: () => 1000, isPublicOnly: true });
    const options = { method: 'GET', headers: {}, body: undefined, redirect: 'manual' } as const;
    return (await fetch('https://provider.example/', options)).status;
  },
  'ID token': (levels) => {
    const claims = { sub: 'a', iat: NOW_S, exp: NOW_S + 60 };
    const token = `${part('{"alg":"RS256"}')}.${part(claimsOf(levels, claims))}.`;
    return findIdTokenFault(token, claims, { accessToken: '', code: '', nowS: NOW_S }) ?? 'taken';
  },
  'access token': async (levels) => {
    const issuers = [{ issuer: ISSUER, audience: 'api', secret: SECRET }];
    const verify = createAccessTokenVerifier({ ISSUERS: issuers }, { send: sendAnswer(''), now: () => NOW_S * 1000 });
    const claims = { iss: ISSUER, aud: 'api', sub: 'a', exp: NOW_S + 60 };
    const verification = await verify(signJwt(claimsOf(levels, claims)), { timeoutMs: 1000 });
    return 'reason' in verification ? verification.reason : verification.status;
  },
  'issuer of an access token': async (levels) => {
    const issuers = [{ issuer: 'a', audience: 'api', secret: SECRET }];
    const verify = createAccessTokenVerifier({ ISSUERS: issuers }, { send: sendAnswer(''), now: () => NOW_S * 1000 });
    const iss = `{"iss":${'['.repeat(levels)}"a"${']'.repeat(levels)}}`;
    const verification = await verify(signJwt(iss), { timeoutMs: 1000 });
    return 'reason' in verification ? verification.reason : verification.status;
  },
  'canonical JSON': (levels) => canonicalJson(JSON.parse(nested(levels))) && 'taken',
  'duplicate keys': (levels) => hasDuplicateKeys(nested(levels)),
  'a walk': (levels) => isDeeperThan(JSON.parse(nested(levels)), 1_000_000),
};

async function outcomeOf(read: (levels: number) => unknown, levels: number): Promise<unknown> {
  try {
    return await read(levels);
  } catch (error) {
    if (error instanceof CallerError || isFailure(error)) return error.message;
    return error instanceof Error ? `${error.name}: ${error.message}` : 'thrown';
  }
}

const outcomes: Record<string, [number, unknown][]> = {};
for (const [name, read] of Object.entries(READERS)) {
  outcomes[name] = [];
  for (const levels of LEVELS) outcomes[name].push([levels, await outcomeOf(read, levels)]);
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
