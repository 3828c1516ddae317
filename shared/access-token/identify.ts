import type { PresentedToken } from '../token-revocation/store.ts';
import {
  cutOffKeys,
  grantIds,
  jwtIds,
  type KeyedIds,
  type Pepper,
  textIds,
  tokenIds,
} from '../token-revocation/token-id.ts';
import type { Verification, VerifiedToken } from './verify.ts';

/** A token as it is looked up (under every pepper) and as it is recorded (under the newest). */
export interface IdentifiedToken {
  readonly presented: PresentedToken;
  readonly tokenIds: readonly string[];
  readonly grants: readonly string[];
  /** The key of the cut-off for the link, when it is known. */
  readonly linkCutOff?: string | undefined;
  /** The subject as a log line names it: a keyed digest. */
  readonly subjectRef?: string | undefined;
}

/** What a verification came to the last time: it is the same object for a token that is remembered. */
const identified = new WeakMap<VerifiedToken, { token: string; peppers: readonly Pepper[]; as: IdentifiedToken }>();

/** All that a token goes by in the revocation store: by itself, and by what was verified of it. */
export function identifyToken(token: string, verification: Verification, peppers: readonly Pepper[]): IdentifiedToken {
  if (verification.status !== 'verified' && verification.status !== 'refresh') {
    const ids = [verification.status === 'inactive' ? textIds(token, peppers) : tokenIds(token, peppers)];
    return { presented: { tokenIds: all(ids), grants: [], cutOffKeys: [] }, tokenIds: current(ids), grants: [] };
  }
  const known = identified.get(verification.token);
  if (known !== undefined && known.token === token && known.peppers === peppers) return known.as;
  const as = identifyVerified(token, verification.token, peppers);
  identified.set(verification.token, { token, peppers, as });
  return as;
}

function identifyVerified(
  token: string,
  { issuer, subject, client, grant, jwtId, issuedAt }: VerifiedToken,
  peppers: readonly Pepper[],
): IdentifiedToken {
  const ids = [tokenIds(token, peppers)];
  if (jwtId !== undefined) ids.push(jwtIds({ issuer, jwtId, subject }, peppers));
  const grants = grant === undefined ? [] : [grantIds({ issuer, ...grant, subject }, peppers)];
  // A token that names no user belongs to no link, and to no user's cut-off.
  const linkCutOff =
    subject === undefined ? undefined : cutOffKeys({ issuer, link: [subject, client ?? null] }, peppers);
  const subjectCutOff = subject === undefined ? undefined : cutOffKeys({ issuer, subject }, peppers);
  const clientCutOff = client === undefined ? undefined : cutOffKeys({ issuer, client }, peppers);
  return {
    presented: {
      // Also as it may have been recorded when its issuer would not vouch for it.
      tokenIds: [...new Set(all([...ids, textIds(token, peppers)]))],
      grants: all(grants),
      cutOffKeys: all([linkCutOff, subjectCutOff, clientCutOff].filter((key) => key !== undefined)),
      issuedAt,
    },
    tokenIds: current(ids),
    grants: current(grants),
    linkCutOff: linkCutOff?.current,
    subjectRef: subjectCutOff?.current,
  };
}

function all(ids: readonly KeyedIds[]): string[] {
  return ids.flatMap((id) => id.all);
}

function current(ids: readonly KeyedIds[]): string[] {
  return ids.map((id) => id.current);
}
