import { bearerToken } from '../access-token/bearer.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError, Misconfigured } from '../errors.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse, type Send } from '../outgoing/send.ts';
import type { TokenRevocationStore } from '../token-revocation/store.ts';
import { type Pepper, textIds } from '../token-revocation/token-id.ts';
import { foreignErrorOf } from './foreign-error.ts';
import { MatrixError } from './matrix-error.ts';
import { serverNameOf } from './threepid.ts';

/** How long the homeserver, and the revocation store beside it, may take to answer about a token, in milliseconds. */
const IDENTIFY_MS = 3000;

/** The homeserver whose users call. */
export interface Homeserver {
  /** Its name, which its users' ids end with. */
  readonly name: string;
  /** Where its client API is, without a slash at the end. */
  readonly url: string;
  /** Whether a token may come in the query: clients of before 2024 sent it so, and it ends up in logs of proxies. */
  readonly allowsQueryToken: boolean;
  readonly send: Send;
}

/** A call by a user. */
export interface UserCall {
  readonly authorization: string | undefined;
  /** The trace of the call, for the homeserver. */
  readonly traceparent?: string | undefined;
  readonly query: () => URLSearchParams;
  readonly note: (fields: Record<string, unknown>) => void;
}

/** Who is asked about an access token. */
export interface IdentifyPorts {
  readonly homeserver: Homeserver;
  readonly revocations: TokenRevocationStore;
  readonly peppers: readonly Pepper[];
}

/**
 * Returns the id of the user whose access token the call carries, as the homeserver says it. Asks the homeserver and the
 * revocation store at the same time. The store's answer decides first, whichever of them answers first.
 *
 * @throws {MatrixError} The token is missing; `M_UNKNOWN_TOKEN` where it is revoked; else what the homeserver says of
 *   it: its own 401, 403 and 429 are passed on; `M_GUEST_ACCESS_FORBIDDEN`; 502 and 504 where it does not say.
 * @throws {Failure} The store does not say whether the token is revoked, whatever the homeserver says.
 * @throws {Misconfigured} The user is of another homeserver: nothing is to be signed in its name.
 * @see https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3accountwhoami
 */
export async function identifyUser(call: UserCall, remainingMs: number, ports: IdentifyPorts): Promise<string> {
  const { homeserver } = ports;
  const token = accessTokenOf(call, homeserver);
  const timeoutMs = Math.min(IDENTIFY_MS, remainingMs);
  const asking = new AbortController();
  const { traceparent } = call;
  // It must not reject: after an abort nothing awaits it.
  const asked = Promise.allSettled([whoami(token, { timeoutMs, traceparent, signal: asking.signal }, homeserver)]);
  try {
    await assertUnrevoked(token, call, timeoutMs, ports);
  } catch (error) {
    // Nothing may run after the answer.
    asking.abort();
    throw error;
  }
  const [answer] = await asked;
  if (answer.status === 'rejected') {
    throw answer.reason instanceof OutgoingFailure ? unreachable(answer.reason) : answer.reason;
  }
  const { mxid, serverName, isGuest } = answer.value;
  if (serverName !== homeserver.name) {
    throw new Misconfigured('MATRIX_SERVER_NAME must be the name of the homeserver of MATRIX_HOMESERVER_URL');
  }
  if (isGuest) throw new MatrixError(403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests have no identifiers.');
  return mxid;
}

/**
 * Looks a token up by its text alone, be it a JWT or not: only the homeserver could verify more of it.
 *
 * @throws {MatrixError} `M_UNKNOWN_TOKEN`, a soft logout: the session goes on at the homeserver, and after a hard logout
 *   a client would delete its keys.
 * @throws {Failure} The store does not say.
 * @see https://spec.matrix.org/v1.15/client-server-api/#soft-logout
 */
async function assertUnrevoked(
  token: string,
  { note }: UserCall,
  remainingMs: number,
  { revocations, peppers }: IdentifyPorts,
): Promise<void> {
  const { current, all } = textIds(token, peppers);
  note({ token_id: current });
  const presented = { tokenIds: all, grants: [], cutOffKeys: [] };
  const status = await retryWhileUnavailable(remainingMs, (timeoutMs) => revocations.check(presented, timeoutMs));
  if (!status.revoked) return;
  note({ reason: `revoked_by_${status.by}` });
  throw new MatrixError(401, 'M_UNKNOWN_TOKEN', 'The access token was revoked.', { softLogout: true });
}

function accessTokenOf({ authorization, query }: UserCall, { allowsQueryToken }: Homeserver): string {
  const inQuery = allowsQueryToken ? query().getAll('access_token') : [];
  const [credential, ...others] = [
    ...(authorization === undefined ? [] : [authorization]),
    ...inQuery.map((token) => `Bearer ${token}`),
  ];
  if (others.length > 0) throw missingToken('The call carries more than one access token.');
  try {
    return bearerToken(credential);
  } catch (error) {
    throw error instanceof CallerError ? missingToken(error.message) : error;
  }
}

function missingToken(message: string): MatrixError {
  return new MatrixError(401, 'M_MISSING_TOKEN', message);
}

/** @throws {OutgoingFailure} */
async function whoami(
  token: string,
  options: Pick<OutgoingRequest, 'timeoutMs' | 'traceparent' | 'signal'>,
  { url, send }: Homeserver,
) {
  const response = await send({
    method: 'GET',
    url: `${url}/_matrix/client/v3/account/whoami`,
    headers: { Accept: 'application/json', Authorization: `Bearer ${token}` },
    ...options,
  });
  if (response.status !== 200) throw passedOn(response);
  const { user_id: mxid, is_guest: isGuest } = jsonObjectOf(response);
  const serverName = typeof mxid === 'string' ? serverNameOf(mxid) : undefined;
  if (typeof mxid !== 'string' || serverName === undefined) throw new OutgoingFailure('malformed');
  return { mxid, serverName, isGuest: isGuest === true };
}

/** What the homeserver says of the token, in its words: it is the client's own. */
function passedOn(response: OutgoingResponse): Error {
  const { status } = response;
  const given = foreignErrorOf(response);
  if (given === undefined || ![401, 403, 429].includes(status)) return new OutgoingFailure('malformed');
  const { soft_logout: softLogout } = given.body;
  return new MatrixError(status, given.errcode, given.error, {
    retryAfter: given.retryAfter,
    ...(typeof softLogout === 'boolean' && { softLogout }),
  });
}

function unreachable(cause: OutgoingFailure): MatrixError {
  const status = cause.fault === 'timed_out' ? 504 : 502;
  return new MatrixError(status, 'M_UNKNOWN', 'The homeserver did not say whose the access token is.', { cause });
}
