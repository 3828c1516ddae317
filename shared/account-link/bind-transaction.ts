/** The transactions of binds in the browser: each is taken up once, by whoever brings its id. */
export interface BindTransactions {
  /** Keeps a transaction until it is taken or expires. Resolves when it is durable. */
  begin(transaction: BindTransaction, timeoutMs?: number): Promise<void>;

  /** Takes a transaction up, in one atomic step: of any number of calls at once one gets it. */
  take(id: string, timeoutMs?: number): Promise<TakenTransaction>;
}

/** A transaction as it is kept: what it holds is the caller's business. */
export interface BindTransaction {
  /** A keyed digest of the secret that its owner brings. */
  readonly id: string;
  /** Sealed. */
  readonly data: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What taking a transaction up came to. A used or expired one is known as such for {@link SPENT_BIND_MS}. */
export type TakenTransaction =
  | { readonly status: 'taken'; readonly data: string }
  | { readonly status: 'used' }
  | { readonly status: 'expired' }
  | { readonly status: 'unknown' };

/** How long after its expiry a transaction is still known, in milliseconds. */
export const SPENT_BIND_MS = 3_600_000;
