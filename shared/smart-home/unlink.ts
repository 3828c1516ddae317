import * as z from 'zod/mini';
import { bearerToken } from '../access-token/bearer.ts';
import { identifyToken } from '../access-token/identify.ts';
import { countInactive } from '../access-token/inactive-tokens.ts';
import { noteAhead, reachOf, revocationOf } from '../access-token/revocation-of.ts';
import type { VerifiedToken, VerifyAccessToken } from '../access-token/verify.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import type { HourlyLimit } from '../hourly-limit.ts';
import type { Settings } from '../settings.ts';
import { InactiveTokenLifetime, isTooOld, MaxTokenLifetime } from '../token-revocation/lifetime.ts';
import { logRevocation, type TokenRevocationStore } from '../token-revocation/store.ts';
import { type Pepper, textIds } from '../token-revocation/token-id.ts';
import {
  type PlannedRevocation,
  planUpstreamRevocation,
  tryUpstreamRevocation,
  type UpstreamPorts,
} from './upstream.ts';

/** How far an unlink reaches. */
export const UnlinkEnvironment = {
  MAX_TOKEN_LIFETIME_S: MaxTokenLifetime,
  INACTIVE_TOKEN_LIFETIME_S: InactiveTokenLifetime,
  /** `client`: an unlink ends all links of the subject at the client, not only the grant of the token. */
  UNLINK_CUTOFF: z.optional(z.literal('client', 'must be client or unset')),
};

/** What ending a link needs. */
export interface UnlinkPorts {
  readonly verify: VerifyAccessToken;
  readonly revocations: TokenRevocationStore;
  readonly peppers: readonly Pepper[];
  readonly settings: Settings<typeof UnlinkEnvironment>;
  readonly inactiveLimit: HourlyLimit;
  /** Where the grant is ended too. */
  readonly upstream?: UpstreamPorts | undefined;
  readonly now?: () => number;
}

/** The notification that a user unlinked the accounts. */
export interface UnlinkRequest {
  readonly requestId: string;
  readonly authorization: string | undefined;
  /** The trace of the call, for our own services. */
  readonly traceparent?: string | undefined;
  /** How long this may still take, in milliseconds. */
  readonly remainingMs: () => number;
  /** Adds to the log line of this call, whether it succeeds or fails. */
  readonly note: (fields: Record<string, unknown>) => void;
  /** Makes the log line a warning. */
  readonly warn: (fields: Record<string, unknown>) => void;
  /** Tells an operator of a job that needs one. */
  readonly alert: (message: string, fields: Record<string, unknown>) => void;
}

/**
 * Ends the link: the user's token is refused from now on, and with it whatever is known to hang together with it – its
 * grant, or everything issued for the link so far. Resolves when that is durable, as often as it is asked.
 *
 * @throws {CallerError} `invalid_token`: the token is not one of a known issuer.
 * @throws {Failure} Nothing is known to be revoked.
 * @see https://yandex.ru/dev/dialogs/smart-home/doc/en/reference/unlink-jrpc
 */
export async function unlink(request: UnlinkRequest, ports: UnlinkPorts): Promise<void> {
  const token = bearerToken(request.authorization);
  // A late or repeated unlink still ends the link: neither the token's expiry nor its revocation is in the way.
  const { traceparent } = request;
  const verification = await ports.verify(token, { timeoutMs: request.remainingMs(), atAnyTime: true, traceparent });
  if (verification.status === 'refused') {
    request.note({ reason: verification.reason });
    throw new CallerError('invalid_token', 'The token is not an access token of a known issuer.');
  }
  const nowS = Math.floor((ports.now ?? Date.now)() / 1000);
  if (verification.status === 'verified') noteTimes(verification.token, nowS, request, ports);
  countInactive(verification, ports.inactiveLimit, request);
  const identified = identifyToken(token, verification, ports.peppers);
  if (identified.subjectRef !== undefined) request.note({ subject_ref: identified.subjectRef });
  const revocation = revocationOf(identified, verification, {
    endsLink: identified.grants.length === 0 || ports.settings.UNLINK_CUTOFF === 'client',
    nowS,
    settings: ports.settings,
  });
  const reached = reachOf(revocation) ?? ['access_token_only'];
  request.note({ token_id: revocation.tokenIds[0], revocation: logRevocation(revocation, nowS) });

  const { status } = verification;
  const tokenId = status === 'verified' ? (revocation.tokenIds[0] ?? '') : textIds(token, ports.peppers).current;
  const isRevoked = async () => {
    const check = (timeoutMs: number) => ports.revocations.check(identified.presented, timeoutMs);
    return (await retryWhileUnavailable(request.remainingMs(), check)).revoked;
  };
  const presented = { token, tokenId, verification, isRevoked };
  const planned = ports.upstream && (await planUpstreamRevocation(presented, request, ports.upstream));
  const { first, at } = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.revocations.revoke(revocation, timeoutMs),
  );
  request.note({ first, at, reached });
  if (planned !== undefined && ports.upstream !== undefined) {
    await tellUpstream(planned, reached, request, ports.upstream);
  }
}

/** What the log line says where this call has told nobody. */
const UNTOLD = {
  // By an earlier call, which may have been given up: the token is not there to tell.
  known: 'asked before',
  not_verified: 'not asked: the token is not verified',
  revoked_before: 'not asked: the token was revoked before',
  given_up: 'not asked: given up before',
} as const;

/** Tries what was planned, and tells what came of it. */
async function tellUpstream(
  planned: PlannedRevocation,
  reached: readonly string[],
  request: UnlinkRequest,
  ports: UpstreamPorts,
): Promise<void> {
  if (planned === 'not_set') return;
  if (planned === 'known') return request.note({ upstream: UNTOLD.known });
  if (planned === 'not_verified' || planned === 'revoked_before' || planned === 'given_up') {
    return request.warn({ upstream: UNTOLD[planned] });
  }
  if (typeof planned === 'object' && 'fault' in planned) {
    return request.warn({ upstream: `not asked: ${planned.fault}` });
  }
  const upstream = planned === 'queued' ? 'pending' : await tryUpstreamRevocation(planned.job, request, ports);
  if (upstream.startsWith('upstream_')) {
    request.note({ reached: [...reached, upstream] });
    return;
  }
  const isLate = planned !== 'queued' && planned.mayEndNewer && upstream.startsWith('pending');
  request.warn({ upstream, ...(isLate && { may_end_newer: true }) });
}

/**
 * Refuses a token that could end a link made since, and tells of an issuer whose clock is ahead.
 *
 * @throws {CallerError} `invalid_token`
 */
function noteTimes(token: VerifiedToken, nowS: number, request: UnlinkRequest, { settings }: UnlinkPorts): void {
  if (isTooOld(nowS, settings.MAX_TOKEN_LIFETIME_S, token)) {
    request.note({ reason: 'too_old' });
    throw new CallerError('invalid_token', 'The token expired longer ago than revocations are kept.');
  }
  noteAhead(token, nowS, request);
}
