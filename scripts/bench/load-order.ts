import type { HttpCall } from './side.ts';

/** Calls to be sent over HTTP by {@link CONNECTIONS} that are kept. */
export interface LoadOrder {
  readonly port: number;
  readonly calls: readonly HttpCall[];
  /** To be sent again and again for so long, in seconds; each once if not given. */
  readonly seconds?: number;
}

/** How many calls are under way at once. */
export const CONNECTIONS = 8;
