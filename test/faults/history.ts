import { expect } from 'vitest';
import { monotonicMs } from '#shared/clock.ts';
import { isStoreUnavailable, type StoreFault } from '#shared/errors.ts';
import type { RevocationStatus, TokenRevocationStore } from '#shared/token-revocation/store.ts';

/** What a call came to: done, or refused for a fault of the store. */
export type Outcome = 'done' | StoreFault;

/** What was asked of a store and what it answered. Each answer is held to what was acknowledged before it was asked. */
export interface History {
  /** Revokes a token of this name. */
  revoke(id: string, timeoutMs?: number): Promise<void>;
  /** Whether it is revoked. Fails the test when its revocation was acknowledged before and the answer is no. */
  check(id: string, timeoutMs?: number): Promise<RevocationStatus>;
  /** The revocations that were acknowledged. */
  acknowledged(): readonly string[];
}

/** Begins the history of one or more stores that have the same server. */
export function createHistory(store: TokenRevocationStore, known: Iterable<string> = []): History {
  const acknowledged = new Set(known);
  return {
    async revoke(id, timeoutMs) {
      await store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 }, timeoutMs);
      acknowledged.add(id);
    },
    async check(id, timeoutMs) {
      const mustBeRevoked = acknowledged.has(id);
      const status = await store.check({ tokenIds: [id], grants: [], cutOffKeys: [] }, timeoutMs);
      if (mustBeRevoked) expect(status, `${id} was acknowledged as revoked`).toMatchObject({ revoked: true });
      return status;
    },
    acknowledged: () => [...acknowledged],
  };
}

/** A busy machine may take this much longer than a deadline, in milliseconds. */
const GRACE_MS = 1500;

/** What a call comes to that has this much time. It must not take longer, whatever it comes to. */
export async function outcomeOf(timeoutMs: number, call: (timeoutMs: number) => Promise<unknown>): Promise<Outcome> {
  const begin = monotonicMs();
  try {
    await call(timeoutMs);
    return 'done';
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    return error.fault;
  } finally {
    expect(monotonicMs() - begin, `a call with ${timeoutMs} ms`).toBeLessThan(timeoutMs + GRACE_MS);
  }
}
