/** The corpus' tokens as texts: signed with keys of the tests, and what their servers answer about them. */

import { generateKeyPairSync } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { exportJWK, type JWTPayload, SignJWT } from 'jose';
import type { JsonObject } from '#shared/json.ts';
import type { CorpusCase } from './token-corpus.ts';

const issuerKeys = generateKeyPairSync('ed25519');

/** What the issuers sign with, as they publish it. */
export const CORPUS_JWKS = { keys: [{ ...(await exportJWK(issuerKeys.publicKey)), kid: 'c1' }] };

/** What a server signs with that shows nobody the key. */
const HIDDEN_SECRET = Buffer.alloc(64, 'h');

/** The keys of a row of `ISSUERS`, unless the row has a secret. */
export function corpusKeys({ row }: CorpusCase): JsonObject {
  return row.secret === undefined ? { jwks: CORPUS_JWKS } : {};
}

/** The text of a case: a JWT, signed by its issuer, or what is introspected. */
export async function corpusText({ header, claims, alg, row, text, isIntrospected }: CorpusCase): Promise<string> {
  if (isIntrospected && typeof text === 'string') return text;
  // Deterministic: one text for one case, however often it is asked for.
  if (isIntrospected && typeof text !== 'string') return sign(text.claims, text.header, 'EdDSA', issuerKeys.privateKey);
  if (alg === undefined) return sign(claims, header, 'EdDSA', issuerKeys.privateKey);
  return sign(claims, header, alg, typeof row.secret === 'string' ? Buffer.from(row.secret) : HIDDEN_SECRET);
}

function sign(claims: JsonObject, header: JsonObject, alg: string, key: Parameters<SignJWT['sign']>[0]) {
  // The members of a payload that jose names may have any value here: that is what is tested.
  const payload = claims as JWTPayload;
  return new SignJWT(payload).setProtectedHeader({ ...header, alg, kid: 'c1' }).sign(key);
}

/** What an introspection endpoint was asked. */
export interface Asked {
  readonly token: string;
  readonly hint: string | null;
}

/** An introspection endpoint (RFC 7662) that knows these tokens, and calls every other inactive. */
export function introspects(answers: ReadonlyMap<string, JsonObject>, asked: Asked[] = []): RequestListener {
  return async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    const token = form.get('token') ?? '';
    asked.push({ token, hint: form.get('token_type_hint') });
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(answers.get(token) ?? { active: false }));
  };
}
