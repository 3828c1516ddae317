import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalEmail, emailIds } from '#shared/account-link/email-digest.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';

const pepper = (name: string) => `${name}:${Buffer.alloc(32, name).toString('base64')}`;

test.each([
  ['Ann@Example.COM', 'ann@example.com'],
  ['ann+shop@example.com', 'ann+shop@example.com'],
  ['A\u0308nn@example.com', '\u00e4nn@example.com'],
  ['иван@Пример.рф', 'иван@xn--e1afmkfd.xn--p1ai'],
  ['ann@xn--e1afmkfd.xn--p1ai', 'ann@xn--e1afmkfd.xn--p1ai'],
  ['ann@localhost', 'ann@localhost'],
  [`${'a'.repeat(242)}@example.com`, `${'a'.repeat(242)}@example.com`],
])('%s has the form %s', (address, canonical) => {
  expect(canonicalEmail(address)).toBe(canonical);
});

test.each([
  ...['', '@', 'ann', 'ann@', '@example.com', 'a@b@example.com', ' ann@example.com', 'ann@example.com\n', 'a n@b.c'],
  ...['ann@example.com.', 'ann@exa mple.com', 'ann@example.com/x', 'ann@example.com:80', 'ann@[127.0.0.1]', 'ann@a%62'],
  ...['ann@\u00ad', 'a\ud800@example.com', 'a\u0000@example.com', `${'a'.repeat(243)}@example.com`],
  ...['ann@!example.com', 'ann@.example.com'],
])('%j is no address', (address) => {
  expect(canonicalEmail(address)).toBeUndefined();
});

test('the form of a form is the same', () => {
  const part = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(part, fc.oneof(fc.domain(), part), (local, domain) => {
      const canonical = canonicalEmail(`${local}@${domain}`);
      if (canonical !== undefined) expect(canonicalEmail(canonical)).toBe(canonical);
    }),
    { numRuns: 2000 },
  );
});

test('its digests are the newest pepper’s and all others’, for every spelling', () => {
  const peppers = TokenPeppers.parse(`${pepper('b')},${pepper('a')}`);
  const digests = emailIds('Ann@Example.com', peppers);
  expect(digests).toEqual(emailIds('ann@EXAMPLE.com', peppers));
  expect(digests?.all.map((id) => id.slice(0, 2))).toEqual(['b.', 'a.']);
  expect(digests?.current).toBe(digests?.all[0]);
  expect(emailIds('ann', peppers)).toBeUndefined();
});
