import type { OutgoingHttpHeaders, RequestListener } from 'node:http';

/** What is measured. A `revoke` is of a token that nobody has revoked, a `check` of one that is not revoked. */
export const OPERATIONS = ['revoke', 'revoke-again', 'check', 'check-jwt', 'list', 'link', 'delete', 'sign'] as const;
export type Operation = (typeof OPERATIONS)[number] | GrowthOperation;

/** How many links the subject has whose list is read, or among whose links one more is made and deleted. */
export const LINK_COUNTS = [1, 10, 1000] as const;
type GrowthOperation = `${'list of' | 'link and delete among'} ${(typeof LINK_COUNTS)[number]}`;

/** The stores that calls are measured on. */
export const STORES = ['memory', 'sqlite', 'postgres', 'redis', 'dynamodb'] as const;
export type Store = (typeof STORES)[number];

/** Who does it: the product, what is as small as can be, and the peers. */
export const SIDES = [
  'product',
  'limit',
  'limit + logger',
  'raw',
  'library',
  'better-auth',
  'jmondi',
  'oidc-provider',
  'idempotency',
] as const;
export type SideName = (typeof SIDES)[number];

/** How many subjects there are, each with an access token or a session of its own … */
export const SUBJECTS = 100;
/** … and with so many links that stay. */
export const KEPT_LINKS = 3;
/** How many tokens are checked in turns. */
export const KNOWN_TOKENS = 1000;

/** A request as it is sent over HTTP. */
export interface HttpCall {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string;
}

/** One operation of a side. Calls are numbered: no two revocations or links have one number, and a link is deleted by its own. */
export interface SideOperation {
  /** Makes what so many calls from `from` on need and what is not to be measured. */
  prepare?(from: number, count: number): unknown;
  /** In process. Rejects when it is not answered as it must be. */
  call(index: number): unknown;
  /** Over HTTP, where it is not the event of the bare host. */
  http?(index: number): HttpCall;
  /** What the bare host is sent. */
  event?(index: number): unknown;
}

/** The operations of one side on one store. */
export interface Side {
  readonly operations: Partial<Record<Operation, SideOperation>>;
  /** What serves HTTP itself. */
  readonly listener?: RequestListener;
  /** What answers the events of the bare host. */
  readonly answer?: (operation: string, event: unknown) => unknown;
}

/** What a side is opened with. */
export interface SideSettings {
  readonly side: SideName;
  readonly store: Store;
  /** Of the store. */
  readonly url: string;
  /** A folder of its own. */
  readonly folder: string;
  /** Where the functions are built, one folder a store. */
  readonly bundles: string;
  /** Where the issuer introspects its opaque tokens. */
  readonly introspection: string;
}
