/**
 * Binding an external provider in the browser.
 *
 * Terms. *Bind*: the whole of it, from an application's start to the link. *Application*: who starts it and gets the
 * browser back at its *callback*. *Step*: what is kept between two requests of the browser; whoever brings a step's
 * secret takes it up, once. *Confirmation*: how it is known whose browser it is, which neither the start nor the
 * provider's answer tells: a `redirectTo` can be sent to a stranger, and a stranger's `code` to us. *Trip*: the browser
 * goes to the provider and comes back; a bind whose start named no subject makes two, and the answer of the second counts.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as z from 'zod/mini';
import type { BindTransactions } from '../account-link/bind-transaction.ts';
import { ProviderTokens } from '../account-link/provider-tokens.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { type EncryptionKey, seal, unseal } from '../encryption.ts';
import { StoreUnavailable } from '../errors.ts';
import { isJsonObject } from '../json.ts';

/** Why a bind ended without a link, as the application and the user learn it: a closed list. */
export type BindErrorCode =
  | 'access_denied'
  | 'already_linked_other_user'
  | 'browser_mismatch'
  | 'invalid_code'
  | 'issuer_mismatch'
  | 'limit_reached'
  | 'nonce_mismatch'
  | 'profile_unavailable'
  | 'provider_disabled'
  | 'provider_mismatch'
  | 'provider_unavailable'
  | 'state_expired'
  | 'state_missing'
  | 'state_used'
  | 'user_mismatch';

/** How it is proved whose browser it is. */
export type Confirmation = 'page' | 'bearer' | 'none';

const Text = z.string();

/** What is known of a bind from its start on. */
const Bind = z.object({
  /** The application's id and callback. */
  client: Text,
  callback: Text,
  isPopup: z.boolean(),
  fpType: Text,
  fpName: Text,
  /** Whose link it will be; not known yet where the page proves it. */
  subject: z.optional(Text),
  /** Milliseconds since the epoch. */
  begunAt: z.number(),
});
export type Bind = z.output<typeof Bind>;

/** The account at the provider, once it has answered. */
const BoundAccount = z.object({
  sid: Text,
  userName: z.optional(Text),
  emailDigest: z.optional(Text),
  tokens: ProviderTokens,
});
export type BoundAccount = z.output<typeof BoundAccount>;

/** What must be kept of an authorization request to finish it. */
const KeptAuthorization = z.object({
  state: Text,
  redirectUri: Text,
  codeVerifier: z.optional(Text),
  nonce: z.optional(Text),
  deviceId: z.optional(Text),
});

const Step = z.discriminatedUnion('kind', [
  /** The browser is at the provider. */
  z.object({
    kind: z.literal('provider'),
    bind: Bind,
    kept: KeptAuthorization,
    /** Of a second trip: the digest of the cookie that the browser of the first one has. */
    browserDigest: z.optional(Text),
  }),
  /** The browser signs in at our issuer. */
  z.object({
    kind: z.literal('sign-in'),
    bind: Bind,
    account: BoundAccount,
    /** What the page shows of the account besides its name. */
    email: z.optional(Text),
    kept: KeptAuthorization,
    /** Without a question, if that can be. */
    isSilent: z.boolean(),
    /** Of a bind of two trips: the digest of the cookie that its browser has. */
    browserDigest: z.optional(Text),
  }),
  /** The user reads our page, in the browser that has the cookie of this digest. */
  z.object({ kind: z.literal('page'), bind: Bind, subject: Text, account: BoundAccount, cookieDigest: Text }),
  /** The application has a ticket to confirm with. */
  z.object({ kind: z.literal('ticket'), bind: Bind, subject: Text, account: BoundAccount }),
]);
export type Step = z.output<typeof Step>;

/** The version of a kept step. One of another version may prove less than its reader takes for proved. */
const VERSION = 2;
const KeptStep = z.object({ version: z.literal(VERSION), step: Step });

/** How long a step may take, in milliseconds: at the provider as long as a person needs. */
export const STEP_MS: Readonly<Record<Step['kind'], number>> = {
  provider: 600_000,
  'sign-in': 600_000,
  page: 600_000,
  ticket: 300_000,
};

/** What keeping steps needs. */
export interface StepPorts {
  readonly binds: BindTransactions;
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly now?: (() => number) | undefined;
}

/** A secret of 256 bits, in characters that a URL takes as they are. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** What a secret is known by in a store: it has 256 bits of its own, so that no key is needed. */
export function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

/** Whether this is the secret that the digest was made of. */
export function isSecretOf(digest: string, secret: string | undefined): boolean {
  // Digests of random secrets: the time of the comparison tells nothing of use.
  return secret !== undefined && digestOf(secret) === digest;
}

/**
 * Keeps a step for whoever brings the secret.
 *
 * @throws {StoreUnavailable}
 */
export async function keepStep(
  secret: string,
  step: Step,
  remainingMs: () => number,
  { binds, encryptionKeys, now = Date.now }: StepPorts,
): Promise<void> {
  const id = digestOf(secret);
  const transaction = {
    id,
    data: seal(JSON.stringify({ version: VERSION, step }), id, encryptionKeys),
    expiresAt: now() + STEP_MS[step.kind],
  };
  await retryWhileUnavailable(remainingMs(), (timeoutMs) => binds.begin(transaction, timeoutMs));
}

/** A step that was taken up, or why there is none. */
export type TakenStep<Kind extends Step['kind']> =
  | { readonly step: Extract<Step, { kind: Kind }> }
  | { readonly error: 'state_missing' | 'state_used' | 'state_expired' };

/**
 * Takes a step up, in one atomic operation: nobody can do so twice. A step of another kind is spent all the same. One
 * that another version of the functions has kept is spent too, and counts as expired.
 *
 * @throws {StoreUnavailable}
 */
export async function takeStep<Kind extends Step['kind']>(
  kind: Kind,
  secret: string | undefined,
  remainingMs: () => number,
  { binds, encryptionKeys }: StepPorts,
): Promise<TakenStep<Kind>> {
  if (secret === undefined || !/^[A-Za-z0-9_-]{43}$/.test(secret)) return { error: 'state_missing' };
  const id = digestOf(secret);
  // Again only where it was not taken for sure: after an answer that was lost, the second try would find it used.
  const taken = await retryWhileUnavailable(remainingMs(), (timeoutMs) => binds.take(id, timeoutMs), 'busy');
  switch (taken.status) {
    case 'used':
      return { error: 'state_used' };
    case 'expired':
      return { error: 'state_expired' };
    case 'unknown':
      return { error: 'state_missing' };
    case 'taken': {
      const kept: unknown = JSON.parse(unseal(taken.data, id, encryptionKeys));
      if (!isJsonObject(kept) || kept.version !== VERSION) return { error: 'state_expired' };
      const { success, data } = KeptStep.safeParse(kept);
      if (!success) throw new StoreUnavailable('corrupt');
      const { step } = data;
      // The kind was compared.
      return step.kind === kind ? { step: step as Extract<Step, { kind: Kind }> } : { error: 'state_missing' };
    }
  }
}
