import { LimitReached } from '../errors.ts';
import { createHourlyLimit, type HourlyLimit } from '../hourly-limit.ts';
import type { Verification } from './verify.ts';

/**
 * The most rows that an instance writes in an hour for tokens that their issuer calls inactive: any text is such a token,
 * so anybody can have a row written.
 */
const MAX_ROWS_PER_HOUR = 1000;

/** Counts the rows of inactive tokens of one instance. */
export function createInactiveLimit(): HourlyLimit {
  return createHourlyLimit(MAX_ROWS_PER_HOUR);
}

/**
 * Counts the row that a token will get if its issuer calls it inactive. Others are not counted, and never refused.
 *
 * @throws {LimitReached}
 */
export function countInactive(
  { status }: Verification,
  limit: HourlyLimit,
  { alert }: { readonly alert: (message: string, fields: Record<string, unknown>) => void },
): void {
  if (status !== 'inactive') return;
  const verdict = limit.take();
  if (verdict === 'allowed') return;
  const fields = { limit: limit.most };
  if (verdict === 'first_too_many') alert('too many tokens that their issuer calls inactive in an hour', fields);
  throw new LimitReached(`rows of inactive tokens, ${limit.most} an hour`);
}
