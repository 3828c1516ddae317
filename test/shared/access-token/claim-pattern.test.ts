import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ClaimPattern, matchOf } from '#shared/access-token/claim-pattern.ts';

const read = (text: string): RegExp | undefined => ClaimPattern.safeParse(text).data;

describe('a pattern of a claim', () => {
  test.each<[pattern: string, text: string, taken: string | undefined]>([
    ['^(V2_[^.-]+)', 'V2_551-at_552', 'V2_551'],
    ['^(V2_[^.-]+)', 'V1_551-at_552', undefined],
    ['^AT[.]', 'AT.Zm9v', 'AT.'],
    ['^AT[.]', 'RT.Zm9v', undefined],
    ['^AT\\.[^.]+\\.(oar.+)$', 'AT.Zm9v.oar1.x', 'oar1.x'],
    ['^AT\\.[^.]+\\.(oar.+)$', 'AT.Zm9v', undefined],
    ['^a$', 'ab', undefined],
    ['^a', 'ba', undefined],
    ['^\\d{2,3}x', '123x', '123x'],
    ['^[a-f\\d]+:', '1af:2', '1af:'],
    ['^\\w?-.', 'a-\n', 'a-\n'],
    ['^a?b?c', 'bc', 'bc'],
    ['^a{2}a', 'aaa', 'aaa'],
    ['^(a?)', 'b', undefined],
    ['^.*', 'a\nb', 'a\nb'],
  ])('%s takes of %j: %j', (pattern, text, taken) => {
    const known = read(pattern);
    expect(known).toBeInstanceOf(RegExp);
    expect(matchOf(known as RegExp, text)).toBe(taken);
  });

  test.each<[why: string, pattern: string]>([
    ['empty', ''],
    ['without an anchor', 'AT[.]'],
    ['an anchor alone', '^'],
    ['of alternatives', '^a|b'],
    ['of alternatives in a group', '^(a|b)'],
    ['with a group that repeats', '^(a+)+'],
    ['with a group that may be missing', '^(a)?'],
    ['with two repetitions of the same', '^a*a*'],
    ['with a repetition, and the same behind it', '^a+a'],
    ['with a repetition, and what may match the same', '^\\w+\\d'],
    ['with the same behind what may be missing', '^a*b?a'],
    ['with a repetition of anything, and something behind it', '^.*x'],
    ['with two negated classes', '^[^a]+[^b]'],
    ['with a repetition that is counted', '^a{1,3}a{1,3}'],
    ['with a repetition without an end', '^a{1,}a'],
    ['with a lookahead', '^(?=x)'],
    ['with a negative lookahead', '^(?!x)x'],
    ['with a lookbehind', '^(?<=x)'],
    ['with a group that is not taken', '^(?:a)'],
    ['with a named group', '^(?<name>a)'],
    ['with a back reference', '^(a)\\1'],
    ['with two groups', '^(a)(b)'],
    ['with a group in a group', '^((a))'],
    ['with a group that does not end', '^(a'],
    ['with a group that does not begin', '^a)'],
    ['with a lazy repetition', '^a+?'],
    ['with a repetition of a repetition', '^a{2}{2}'],
    ['with an end in the middle', '^a$b'],
    ['with a class that does not end', '^[a'],
    ['with a class that is empty', '^[]'],
    ['with a range that ends before it begins', '^[z-a]'],
    ['with a count that ends before it begins', '^a{3,2}'],
    ['with an escaped letter', '^\\s'],
    ['with a boundary', '^a\\b'],
    ['with an escape at the end', '^a\\'],
    ['not of ASCII', '^é'],
    ['with a line feed', '^a\n'],
    ['longer than 256 characters', `^${'a'.repeat(256)}`],
  ])('is refused: %s', (_why, pattern) => {
    expect(read(pattern)).toBeUndefined();
  });

  test('of 256 characters is accepted', () => {
    expect(read(`^${'a'.repeat(255)}`)).toBeInstanceOf(RegExp);
  });
});

/** Parts of patterns, good and bad, of a few letters, so that many texts match. */
const part = fc.oneof(
  fc.constantFrom('a', 'b', '.', '-', '\\.', '\\d', '\\w', '[^.-]', '[ab]', '[^a]', '[a-b]', '[b-a]', '1', '_', '[^]'),
  fc.constantFrom('(', ')', '*', '+', '?', '{2}', '{0,2}', '{1,}', '{0}', '|', '\\1', '(?=', '$', '^', ']', '{', '\\'),
);
const pattern = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => `^${parts.join('')}`);
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', '1', '.', '-', '_', '\n', 'é', '\ud800'), maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
);

describe('whatever is accepted as a pattern', () => {
  test('means what it means in JavaScript, and takes the group or the whole match', () => {
    let accepted = 0;
    fc.assert(
      fc.property(pattern, text, (written, given) => {
        const known = read(written);
        if (known === undefined) return;
        accepted += 1;
        const match = new RegExp(written, 's').exec(given);
        const taken = match?.[1] ?? match?.[0];
        expect(matchOf(known, given)).toBe(taken === '' ? undefined : taken);
      }),
      { numRuns: 2000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test('matches in one way: no repetition can take what the next part takes', () => {
    const piece = fc.constantFrom('a', 'b', '[ab]', '[^a]', '.', '\\w', '\\d');
    const times = fc.constantFrom('*', '+', '?', '{0,2}', '{1,}');
    fc.assert(
      fc.property(piece, times, fc.constantFrom('', '_*', '-?'), piece, (one, often, between, next) => {
        const known = read(`^${one}${often}${between}${next}`);
        const isSame = ['a', 'b', '1', '_', '-'].some((sign) =>
          [one, next].every((each) => new RegExp(`^${each}$`).test(sign)),
        );
        if (isSame) expect(known).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});
