import { keptUntil } from '../token-revocation/lifetime.ts';
import type { CutOff, Revocation } from '../token-revocation/store.ts';
import type { IdentifiedToken } from './identify.ts';
import type { Verification, VerifiedToken } from './verify.ts';

/** What the end of a token takes with it. */
interface Plan {
  /** Everything that was issued so far for the link ends too, where the token says whose it is and when it was issued. */
  readonly endsLink: boolean;
  readonly nowS: number;
  readonly settings: { readonly MAX_TOKEN_LIFETIME_S: number; readonly INACTIVE_TOKEN_LIFETIME_S: number };
}

/** All that a token's end takes with it, in one atomic write. */
export function revocationOf(
  { tokenIds, grants, linkCutOff, presented }: IdentifiedToken,
  verification: Exclude<Verification, { status: 'refused' }>,
  { endsLink, nowS, settings }: Plan,
): Revocation {
  const { MAX_TOKEN_LIFETIME_S, INACTIVE_TOKEN_LIFETIME_S } = settings;
  if (verification.status === 'inactive' || verification.status === 'unverified') {
    const lifetimeS = verification.status === 'inactive' ? INACTIVE_TOKEN_LIFETIME_S : MAX_TOKEN_LIFETIME_S;
    return { tokenIds, grants, cutOffs: [], expiresAt: nowS + lifetimeS, presented };
  }
  const { issuedAt, grantLifetimeS, iatOffsetS } = verification.token;
  // A token that does not say when it was issued counts as older than every cut-off: it writes none, or the next
  // link's tokens of the same kind would be born revoked.
  const cutOffs: CutOff[] =
    endsLink && issuedAt !== undefined && linkCutOff !== undefined
      ? // The issuer's own time, and at least the token's: a clock that is ahead of ours saves nothing.
        [{ key: linkCutOff, issuedUpTo: Math.max(nowS + (iatOffsetS ?? 0), issuedAt) }]
      : [];
  return {
    tokenIds,
    grants,
    cutOffs,
    expiresAt: keptUntil(nowS, MAX_TOKEN_LIFETIME_S, verification.token),
    ...(grants.length > 0 && grantLifetimeS !== undefined && { grantsExpireAt: nowS + grantLifetimeS }),
    presented,
    ...(iatOffsetS !== undefined && { iatOffsetS }),
  };
}

/** Tells the log of a token whose issuer's clock is ahead of ours, and by how much, in seconds. */
export function noteAhead(
  { issuedAt = 0 }: Pick<VerifiedToken, 'issuedAt'>,
  nowS: number,
  { note }: { readonly note: (fields: Record<string, unknown>) => void },
): void {
  if (issuedAt > nowS) note({ iat_ahead_s: issuedAt - nowS });
}

/** What a revocation ends besides the token; undefined: nothing. */
export function reachOf({ grants, cutOffs }: Revocation): string[] | undefined {
  if (grants.length + cutOffs.length === 0) return undefined;
  return [...(grants.length > 0 ? ['grant'] : []), ...(cutOffs.length > 0 ? ['cut_off'] : [])];
}
