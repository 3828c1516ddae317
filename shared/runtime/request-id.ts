/** The id that a call goes by in its answer and its log line. */
export interface RequestId {
  readonly value: string;
  /** The caller gave an id that cannot be used; `value` is the platform's. */
  readonly isUnusable: boolean;
}

/**
 * The caller's id when it is one of 1 to 255 printable characters, else the platform's.
 *
 * @param given What stands where the caller's id belongs: nothing, one value, or several that differ.
 */
export function readRequestId(given: readonly unknown[], platformId: string): RequestId {
  if (given.length === 0) return { value: platformId, isUnusable: false };
  const [id, ...others] = given;
  const isUsable = others.length === 0 && typeof id === 'string' && isPrintable(id);
  return isUsable ? { value: id, isUnusable: false } : { value: platformId, isUnusable: true };
}

function isPrintable(id: string): boolean {
  // The second expression says it all, and costs a cold start half a millisecond to compile.
  return /^[\x20-\x7e]{1,255}$/.test(id) || /^[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u.test(id);
}
