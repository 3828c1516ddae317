import { createSecretKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';

const pepper = (name: string) => ({ name, key: createSecretKey(Buffer.alloc(32, name)) });
const PEPPERS = [pepper('k1')];

const verified = () => ({
  status: 'verified' as const,
  token: { issuer: 'https://auth.example', subject: 'user-1', client: 'skill', scopes: [], claims: {} },
});

test('a token goes by the same ids as long as the peppers are the same', () => {
  const verification = verified();
  const first = identifyToken('obviously-fake', verification, PEPPERS);

  expect(identifyToken('obviously-fake', verification, PEPPERS)).toBe(first);
  expect(identifyToken('obviously-fake', verified(), PEPPERS)).toEqual(first);
});

test('what one token goes by is not lent to another, nor to other peppers', () => {
  const verification = verified();
  const { tokenIds } = identifyToken('obviously-fake', verification, PEPPERS);

  expect(identifyToken('another-fake', verification, PEPPERS).tokenIds).not.toEqual(tokenIds);
  expect(identifyToken('obviously-fake', verification, [pepper('k2')]).tokenIds[0]).toMatch(/^k2\./);
});
