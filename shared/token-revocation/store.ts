/**
 * The token revocation store: what is refused from now on, and since when.
 *
 * Terms. *Token id*: a keyed digest that names a token (`token-id.ts`). *Grant*: a keyed digest that names the consent
 * that a token was issued under; revoking it ends every token of it. *Cut-off*: "everything issued up to `issuedUpTo`
 * is revoked" for what its key names (a subject, a client, a subject at a client, always at one issuer).
 * Ids, grants and keys are opaque to a store. All times are whole seconds since the epoch, as in a JWT (RFC 7519).
 */
export interface TokenRevocationStore {
  /**
   * Records a revocation, all of it or nothing, and resolves only when it is durable. Idempotent: of an id or grant the
   * first time and the later expiry are kept, of a cut-off the latest `issuedUpTo`.
   *
   * @param timeoutMs How long this may take; then it rejects, and whether it was recorded is not known.
   */
  revoke(revocation: Revocation, timeoutMs?: number): Promise<RecordedRevocation>;

  /** Whether a token is revoked, as of now. Rejects, never guesses, when the store cannot say within `timeoutMs`. */
  check(token: PresentedToken, timeoutMs?: number): Promise<RevocationStatus>;

  /** Deletes at most `limit` rows that have expired and returns how many it deleted. */
  purgeExpired(limit: number): Promise<number>;

  /** Lets go of the connection. May be called twice. */
  close(): Promise<void>;
}

/** One atomic write of at most {@link MAX_REVOCATION_ITEMS} token ids, grants and cut-offs together. */
export interface Revocation {
  readonly tokenIds: readonly string[];
  readonly grants: readonly string[];
  /** Until when the grants are kept, in whole seconds. Absent: for good ({@link NEVER}). */
  readonly grantsExpireAt?: number;
  readonly cutOffs: readonly CutOff[];
  /** Until when the token ids and cut-offs are kept: when the last token that they refuse has expired by itself. */
  readonly expiresAt: number;
  /**
   * The token on whose presentation this happens. A cut-off that already covers its time of issue lets no cut-off move,
   * and an id or grant that was revoked before lets them move up to then, or up to its time of issue, and no further: a
   * leaked old token must not end the link made anew.
   */
  readonly presented?: PresentedToken;
  /**
   * How far the clock of its issuer is ahead of ours, in seconds, or behind it (negative): when the token was revoked
   * before is said by our clock, and cut-offs by the issuer's. Absent: not at all.
   */
  readonly iatOffsetS?: number;
  /**
   * When it was made, if that was before now, as of one that is rebuilt from a log: since when ids and grants are
   * revoked then, and as of when the token presented is judged. A time to come counts as now.
   */
  readonly madeAt?: number;
}

/** A cut-off: everything of `key` that was issued up to `issuedUpTo` is revoked. */
export interface CutOff {
  readonly key: string;
  readonly issuedUpTo: number;
}

/** A token as a store knows it: under every pepper that is accepted. */
export interface PresentedToken {
  readonly tokenIds: readonly string[];
  readonly grants: readonly string[];
  readonly cutOffKeys: readonly string[];
  /** The token's `iat`. Absent: it counts as issued before every cut-off. */
  readonly issuedAt?: number | undefined;
}

/** What a revocation found. */
export interface RecordedRevocation {
  /** Whether it was not revoked before: true for exactly one of any number of equal calls. */
  readonly first: boolean;
  /** When its ids or grants were first revoked; of cut-offs alone, now. */
  readonly at: number;
}

/** Whether a token is revoked and, for the log, by what. */
export type RevocationStatus =
  | { readonly revoked: false }
  | { readonly revoked: true; readonly by: 'token' | 'grant' | 'cut_off' };

/** The most items of one revocation: a transaction of the DynamoDB API takes 25, and one reads the schema marker. */
export const MAX_REVOCATION_ITEMS = 24;

/** The schema that this code reads and writes: a store with an older or no marker is refused. */
export const TOKEN_REVOCATION_SCHEMA = {
  component: 'token-revocation',
  version: 2,
  upgradable: { from: 2, because: 'its grants were recorded under names that this version does not look up' },
} as const;

/** The expiry of what never expires. */
export const NEVER = Number.MAX_SAFE_INTEGER;

/**
 * How far a token that was revoked before, first at `at`, lets cut-offs move: see {@link Revocation}.
 *
 * @returns Whole seconds since the epoch, by the issuer's clock.
 */
export function furthestCutOff({ presented, iatOffsetS = 0 }: Revocation, at: number): number {
  return Math.max(at + iatOffsetS, presented?.issuedAt ?? Number.NEGATIVE_INFINITY);
}

/** Refuses a revocation that no driver could write atomically. */
export function assertRevocation({ tokenIds, grants, cutOffs }: Revocation): void {
  const items = tokenIds.length + grants.length + cutOffs.length;
  if (items === 0 || items > MAX_REVOCATION_ITEMS) {
    throw new RangeError(`a revocation has 1 to ${MAX_REVOCATION_ITEMS} items, not ${items}`);
  }
}

/** As of when a revocation is recorded. Not in time to come: what is kept would count as expired, and be overwritten. */
export function timeOfRevocation({ madeAt = Number.POSITIVE_INFINITY }: Revocation, nowS: number): number {
  return Math.min(madeAt, nowS);
}

/**
 * The whole of a revocation that is made at `madeAt`, for a log line: with it the revocation can be rebuilt should the
 * store be lost, or refuse it (`rebuild-revocations`). Keyed digests and times, no secret.
 */
export function logRevocation(
  { tokenIds, grants, grantsExpireAt, cutOffs, expiresAt, presented, iatOffsetS }: Revocation,
  madeAt: number,
): Record<string, unknown> {
  return {
    made_at: madeAt,
    token_ids: tokenIds,
    grants,
    cut_offs: cutOffs.map(({ key, issuedUpTo }) => ({ key, issued_up_to: issuedUpTo })),
    expires_at: expiresAt,
    ...(grantsExpireAt !== undefined && { grants_expire_at: grantsExpireAt }),
    ...(iatOffsetS !== undefined && { iat_offset_s: iatOffsetS }),
    ...(presented !== undefined && {
      presented: {
        token_ids: presented.tokenIds,
        grants: presented.grants,
        cut_off_keys: presented.cutOffKeys,
        ...(presented.issuedAt !== undefined && { issued_at: presented.issuedAt }),
      },
    }),
  };
}
