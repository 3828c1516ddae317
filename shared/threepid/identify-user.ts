import { bearerToken } from '../access-token/bearer.ts';
import { CallerError, Misconfigured } from '../errors.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse, type Send } from '../outgoing/send.ts';
import { foreignErrorOf } from './foreign-error.ts';
import { MatrixError } from './matrix-error.ts';
import { serverNameOf } from './threepid.ts';

/** How long the homeserver may take to say whose a token is, in milliseconds. */
const WHOAMI_MS = 3000;

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
}

/**
 * The id of the user who calls: whose the access token is, by the homeserver itself. Nothing else is asked of it.
 *
 * @throws {MatrixError} The token is missing, or what the homeserver says of it: its own 401, 403 and 429 are passed on;
 *   `M_GUEST_ACCESS_FORBIDDEN`; 502 and 504 where it does not say.
 * @throws {Misconfigured} The user is of another homeserver: nothing is to be signed in its name.
 * @see https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3accountwhoami
 */
export async function identifyUser(call: UserCall, remainingMs: number, homeserver: Homeserver): Promise<string> {
  const token = accessTokenOf(call, homeserver);
  const options = { timeoutMs: Math.min(WHOAMI_MS, remainingMs), traceparent: call.traceparent };
  const { mxid, serverName, isGuest } = await whoami(token, options, homeserver).catch((error: unknown) => {
    throw error instanceof OutgoingFailure ? unreachable(error) : error;
  });
  if (serverName !== homeserver.name) {
    throw new Misconfigured('MATRIX_SERVER_NAME must be the name of the homeserver of MATRIX_HOMESERVER_URL');
  }
  if (isGuest) throw new MatrixError(403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests have no identifiers.');
  return mxid;
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
  options: Pick<OutgoingRequest, 'timeoutMs' | 'traceparent'>,
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
