import * as z from 'zod/mini';
import type { FoundLink } from '../account-link/account-link.ts';
import { type Caller, type CallerRequest, identifyCaller, mayChange, subjectRef } from '../account-link/caller.ts';
import { canonicalEmail, emailIds } from '../account-link/email-digest.ts';
import {
  type EndLinkRequest,
  endLink,
  type UnlinkAccountPorts,
  type Unlinked,
} from '../account-link/unlink-account.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { parseInput } from '../schema.ts';

/** Which network a session was signed in with. */
export const SocialUnlinkEnvironment = {
  /** The claim of an access token that names it: a provider's type, or `type:name`. */
  NETWORK_CLAIM: z._default(z.string().check(z.minLength(1)), 'network'),
};

/** What unlinking a social login needs. */
export interface SocialUnlinkPorts extends UnlinkAccountPorts {
  readonly networkClaim: string;
}

/** A call to unlink a social login. */
export interface SocialUnlinkRequest extends CallerRequest, EndLinkRequest {
  readonly fields: () => JsonObject;
}

/** What ShopSocially's call is told, and what became of the grant. */
export interface SocialUnlinked {
  readonly is_unlinked: boolean;
  /** Only what the provider has confirmed. */
  readonly is_permissions_revoked: boolean;
  readonly unlinked?: Unlinked;
}

const Fields = z.object({
  email: z.string('must be a string'),
  network: z.optional(z.string('must be a string')),
});

const NOBODY: SocialUnlinked = { is_unlinked: false, is_permissions_revoked: false };

/**
 * Unlinks the social login of the user with an e-mail address, and withdraws its grant: of the caller's own user, when
 * their access token carries that address as verified, or of any, for an application with the scope. Whoever asks about
 * somebody else's address gets the answer of an address that nobody has.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`, `insufficient_scope`, `last_login_method`, and
 *   `invalid_request`: the address is missing or none
 * @throws {Failure}
 * @see https://support.shopsocially.com: Unlink User API
 */
export async function unlinkSocial(request: SocialUnlinkRequest, ports: SocialUnlinkPorts): Promise<SocialUnlinked> {
  const caller = await identifyCaller(request, ports);
  if (!mayChange(caller, ports)) {
    throw new CallerError('insufficient_scope', 'The credential does not allow this.');
  }
  const { email, network } = parseInput(Fields, request.fields());
  const digests = emailIds(email, ports.peppers)?.all;
  if (digests === undefined) throw new CallerError('invalid_request', 'The field email must be an e-mail address.');

  const links = await findLinks(caller, { email, digests }, request, ports);
  const link = choose(links, network ?? networkOf(caller, ports));
  if (link === undefined) return NOBODY;
  request.note({ subject_ref: subjectRef(link.subject, ports) });
  const ended = await endLink({ ...link, actor: caller.actor, force: false }, request, ports);
  switch (ended.status) {
    case 'unlinked': {
      const { revocation } = ended.unlinked;
      const isRevoked = revocation === 'revoked' || revocation === 'already_revoked';
      return { is_unlinked: true, is_permissions_revoked: isRevoked, unlinked: ended.unlinked };
    }
    case 'not_linked':
      return NOBODY;
    case 'last_link':
      throw new CallerError('last_login_method', "The subject's last link cannot be deleted.");
  }
}

/** The links that the caller may unlink by that address, in the order they were made. */
async function findLinks(
  caller: Caller,
  { email, digests }: { readonly email: string; readonly digests: readonly string[] },
  request: SocialUnlinkRequest,
  { directory, peppers }: SocialUnlinkPorts,
): Promise<readonly FoundLink[]> {
  const { subject } = caller;
  const by = subject === undefined ? { emailDigests: digests } : { subject };
  // Looked up whatever comes of it: the time must not tell whose address it is.
  const links = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) => directory.links.find(by, timeoutMs));
  if (subject === undefined) return links;
  if (!hasVerified(caller, email)) return [];
  // Of a link by a known id, or from before the oldest pepper, no address is known: it is the user's all the same.
  const isKnown = (digest: string) => peppers.some(({ name }) => digest.startsWith(`${name}.`));
  return links.filter(({ emailDigest: own }) => own === undefined || digests.includes(own) || !isKnown(own));
}

function hasVerified({ claims }: Caller, email: string): boolean {
  const { email: own, email_verified: isVerified } = claims;
  return isVerified === true && typeof own === 'string' && canonicalEmail(own) === canonicalEmail(email);
}

/** That of the network, or of any the one that was linked last. */
function choose(links: readonly FoundLink[], network: string | undefined): FoundLink | undefined {
  if (network === undefined) return links.at(-1);
  return links.findLast(({ fpType, fpName }) => fpType === network || `${fpType}:${fpName}` === network);
}

/** The network that the user's session was signed in with, if their token names it. */
function networkOf({ claims }: Caller, { networkClaim }: SocialUnlinkPorts): string | undefined {
  const network = claims[networkClaim];
  return typeof network === 'string' ? network : undefined;
}
