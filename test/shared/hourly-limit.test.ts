import { expect, test } from 'vitest';
import { countInactive, createInactiveLimit } from '#shared/access-token/inactive-tokens.ts';
import { createHourlyLimit } from '#shared/hourly-limit.ts';

test('counts up to the most of an hour, and tells the first that is too many', () => {
  let nowMs = 5000;
  const limit = createHourlyLimit(2, () => nowMs);
  const hour = ['allowed', 'allowed', 'first_too_many', 'too_many', 'too_many'];

  expect(hour.map(() => limit.take())).toEqual(hour);
  nowMs += 3_599_999;
  expect(limit.take()).toBe('too_many');
  nowMs += 1;
  expect(hour.map(() => limit.take())).toEqual(hour);
});

test('an hour begins with the first use', () => {
  let nowMs = 0;
  const limit = createHourlyLimit(1, () => nowMs);
  nowMs = 3_500_000;
  limit.take();
  nowMs = 3_600_000;

  expect(limit.take()).toBe('first_too_many');
});

test('an instance records a thousand inactive tokens in an hour, and alerts once', () => {
  const limit = createInactiveLimit();
  const alerts: [message: string, fields: object][] = [];
  const count = (status: 'inactive' | 'unverified') =>
    countInactive({ status }, limit, { alert: (message, fields) => void alerts.push([message, fields]) });
  for (let index = 0; index < 1000; index += 1) count('inactive');

  expect(() => count('inactive')).toThrow('limit: rows of inactive tokens, 1000 an hour');
  expect(() => count('inactive')).toThrow(expect.objectContaining({ code: 'temporarily_unavailable', isLimit: true }));
  expect(alerts).toEqual([['too many tokens that their issuer calls inactive in an hour', { limit: 1000 }]]);
  count('unverified');
});
