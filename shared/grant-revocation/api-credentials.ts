import { monotonicMs } from '../clock.ts';
import { isFailure } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import type { OutgoingRequest, OutgoingResponse } from '../outgoing/send.ts';
import type { ApiEnding } from './end-grant.ts';
import { readAnswer } from './read-answer.ts';
import type { Ask, FailedAttempt } from './revoke-grant.ts';
import { type ClientAuthMethod, formRequest } from './token-request.ts';

/** What a server's API knows us by. */
export type ApiCredential =
  | { readonly kind: 'none' }
  /** The whole value of the header `Authorization`. */
  | { readonly kind: 'header'; readonly authorization: string }
  /** A token for our client itself (RFC 6749, section 4.4). */
  | {
      readonly kind: 'client';
      readonly endpoint: string;
      readonly clientId: string;
      readonly clientSecret: string;
      readonly authMethod: ClientAuthMethod;
      /** Parameters beside the grant type, such as `audience`, `resource` and `scope`. */
      readonly fields: Readonly<Record<string, string>>;
    }
  /** A signature of each request (AWS Signature Version 4). */
  | {
      readonly kind: 'sigv4';
      readonly service: string;
      readonly region: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
    };

/** The headers that make a call ours. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
  /** They hold a token of an earlier call, which may have ended meanwhile. */
  readonly isKept: boolean;
}

/** What calls are authorized with. It keeps tokens until they expire: one for all calls of an instance. */
export interface ApiCredentials {
  /** The headers for a call, or why there are none now. */
  authorize(
    ending: ApiEnding,
    request: Omit<OutgoingRequest, 'timeoutMs'>,
    ask: Ask,
  ): Promise<Authorization | { readonly attempt: FailedAttempt }>;
  /** Lets the next call ask for a token anew. */
  forget(ending: ApiEnding): void;
}

/** A token that ends sooner than this is not relied on, in milliseconds. */
const MARGIN_MS = 30_000;
/** A token of which the server does not say when it expires is kept for so long, in milliseconds. */
const UNKNOWN_LIFETIME_MS = 60_000;

/** @param options `now` is the wall clock, of the signatures' dates; `monotonic` counts how old a token is. Both in ms. */
export function createApiCredentials({
  now = Date.now,
  monotonic = monotonicMs,
}: {
  readonly now?: () => number;
  readonly monotonic?: () => number;
} = {}): ApiCredentials {
  const kept = new Map<ApiEnding, { readonly token: string; readonly until: number }>();
  return {
    async authorize(ending, request, ask) {
      const { credential } = ending;
      switch (credential.kind) {
        case 'none':
          return { headers: {}, isKept: false };
        case 'header':
          return { headers: { Authorization: credential.authorization }, isKept: false };
        case 'sigv4':
          return { headers: await sign(credential, request, new Date(now())), isKept: false };
        case 'client': {
          const known = kept.get(ending);
          if (known !== undefined && monotonic() < known.until) return { headers: bearer(known.token), isKept: true };
          const startedAt = monotonic();
          const issued = await askForToken(credential, ask, now);
          if ('status' in issued) return { attempt: issued };
          kept.set(ending, { token: issued.token, until: startedAt + issued.lifetimeMs - MARGIN_MS });
          return { headers: bearer(issued.token), isKept: false };
        }
      }
    },
    forget(ending) {
      kept.delete(ending);
    },
  };
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

async function askForToken(
  { endpoint, clientId, clientSecret, authMethod, fields }: Extract<ApiCredential, { kind: 'client' }>,
  ask: Ask,
  now: () => number,
): Promise<{ readonly token: string; readonly lifetimeMs: number } | FailedAttempt> {
  const form = { grant_type: 'client_credentials', ...fields };
  const response = await ask(formRequest(endpoint, form, { clientId, clientSecret, authMethod }));
  const attempt = readAnswer(response, { verdicts: { our_fault: OUR_FAULTS } }, now);
  const [path] = endpoint.split('?');
  if (attempt.status === 'retry') return { ...attempt, error: `${attempt.error} of the token endpoint ${path}` };
  const { access_token: token, expires_in: seconds } = attempt.status === 'done' ? membersOf(response) : {};
  if (typeof token !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(token)) {
    return { status: 'retry', error: `the token endpoint ${path} gave no access token`, isOurFault: true };
  }
  const lifetimeMs = typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : UNKNOWN_LIFETIME_MS;
  return { token, lifetimeMs };
}

/** What an answer says; nothing if it is no JSON object, such as a page for a browser. */
function membersOf(response: OutgoingResponse): JsonObject {
  try {
    return jsonObjectOf(response);
  } catch (error) {
    if (!isFailure(error)) throw error;
    return {};
  }
}

/** RFC 6749, section 5.2, and what says that there is no such endpoint: only an operator can mend any of these. */
const OUR_FAULTS = [
  ...['invalid_request', 'invalid_client', 'invalid_grant', 'unauthorized_client', 'unsupported_grant_type'],
  ...['invalid_scope', 'invalid_target', 'access_denied', 'status 400', 'status 404', 'status 405'],
];

/** Signs a request (AWS Signature Version 4), and returns its headers. */
async function sign(
  { service, region, accessKeyId, secretAccessKey }: Extract<ApiCredential, { kind: 'sigv4' }>,
  { method, url, headers, body }: Omit<OutgoingRequest, 'timeoutMs'>,
  at: Date,
): Promise<Record<string, string>> {
  const { aws4 } = await import('../packages/aws4.ts');
  const { host, pathname, search } = new URL(url);
  // In the form that the signature has it: without this header aws4 takes the time of its own.
  const date = at.toISOString().replace(/[:-]|\.\d{3}/g, '');
  const signed = aws4.sign(
    {
      ...{ host, path: pathname + search, method, service, region, headers: { ...headers, 'X-Amz-Date': date } },
      ...(body !== undefined && { body: String(body) }),
    },
    { accessKeyId, secretAccessKey },
  );
  return Object.fromEntries(Object.entries(signed.headers ?? {}).map(([name, value]) => [name, String(value)]));
}
