/**
 * Third-party identifiers of Matrix users, and where they are bound.
 *
 * Terms. *Third-party identifier* (3PID): an e-mail address or a phone number, in its canonical form. *Identity server*:
 * maps such identifiers to Matrix ids for whoever looks them up, named as it is signed to: `host[:port]`. *Bind*: one
 * try to have an identity server do that for an identifier. It is *pending* from before it is asked for, and *bound* once
 * the server has said so; a crash in between leaves it pending, and what is pending counts as known.
 */

/** A kind of third-party identifier. */
export type Medium = 'email' | 'msisdn';

/** A third-party identifier in its canonical form. */
export interface Threepid {
  readonly medium: Medium;
  readonly address: string;
}

/** An identifier of a Matrix user. */
export interface OwnedThreepid extends Threepid {
  /** The user's Matrix id, such as `@ann:example.org`. */
  readonly mxid: string;
}

/** A bind that is known. */
export interface ThreepidBinding extends OwnedThreepid {
  /** The identity server, as `host[:port]`. */
  readonly idServer: string;
  /** Which bind it is: each has its own. */
  readonly bindId: string;
  readonly state: 'pending' | 'bound';
  /** When the bind began, in milliseconds since the epoch. */
  readonly begunAt: number;
}

/** What the directory knows of binds. */
export interface ThreepidBindings {
  /** What is known of an identifier, pending binds too, in the order they were begun. */
  find(threepid: OwnedThreepid, timeoutMs?: number): Promise<readonly ThreepidBinding[]>;

  /**
   * Remembers a bind, or its new state, and resolves when that is durable. Idempotent.
   *
   * @returns False: it is not known and the user has {@link MAX_BINDINGS}; nothing was changed.
   */
  put(binding: ThreepidBinding, timeoutMs?: number): Promise<boolean>;

  /** Forgets those that are still in the state given, all of one user, and resolves when that is durable. Idempotent. */
  forget(bindings: readonly ThreepidBinding[], timeoutMs?: number): Promise<void>;
}

/** The most binds that are known of a user. */
export const MAX_BINDINGS = 100;

/** How long a bind may be under way, in milliseconds: whoever does not know by then what came of it never will. */
const BIND_MS = 60_000;

/** Whether what came of a bind may still become known. */
export function isUnderWay({ state, begunAt }: ThreepidBinding, now: number): boolean {
  return state === 'pending' && begunAt + BIND_MS > now;
}
