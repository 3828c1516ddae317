import type { AccountLinks } from '../account-link/account-link.ts';
import type { BindTransactions } from '../account-link/bind-transaction.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { ThreepidBindings } from '../threepid/threepid-binding.ts';

/**
 * The directory: account links, binds under way and the outbox, kept together so that one transaction can be about all
 * of them; and beside them where third-party identifiers are bound. Every method rejects, never guesses, when the store cannot say or do it in time.
 */
export interface Directory {
  readonly links: AccountLinks;
  readonly binds: BindTransactions;
  readonly outbox: Outbox;
  readonly sealed: SealedTexts;
  readonly threepids: ThreepidBindings;

  /** Deletes at most `limit` tombstones, binds and settled jobs whose time is up and returns how many it deleted. */
  purgeExpired(limit: number): Promise<number>;

  /** Lets go of the connection. May be called twice. */
  close(): Promise<void>;
}

/** The sealed texts of links and jobs, for the rotation of their keys. */
export interface SealedTexts {
  /** At most `limit` texts that are sealed with another key than `keyName`. */
  find(keyName: string, limit: number): Promise<readonly SealedText[]>;

  /** Puts another text in the place of one that is still there; false: it is not. */
  replace(text: SealedText, by: string): Promise<boolean>;
}

/** A sealed text and where it stands. */
export interface SealedText {
  readonly of: 'link' | 'job';
  /** Which one: opaque. */
  readonly key: string;
  /** What the text is bound to: the associated data of its encryption. */
  readonly boundTo: string;
  readonly sealed: string;
}

/** The schema that this code reads and writes. */
export const DIRECTORY_SCHEMA = { component: 'directory', version: 2 } as const;
