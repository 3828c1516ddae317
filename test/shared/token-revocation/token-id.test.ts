import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TokenPeppers, tokenIds } from '#shared/token-revocation/token-id.ts';

const key = (letter: string) => Buffer.alloc(32, letter).toString('base64');
const peppers = (text: string) => TokenPeppers.parse(text);
const ONE = peppers(`k1:${key('a')}`);
const idOf = (token: string) => tokenIds(token, ONE).current;

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const HEADER = segment({ alg: 'ES256' });
const PAYLOAD = segment({ sub: 'user' });

describe('the id of an opaque token', () => {
  test('is the HMAC-SHA-256 of the whole token under the pepper, its name in front', () => {
    // printf 'v1|token|123qwe456a...' | openssl dgst -sha256 -hmac aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -binary | basenc --base64url (less its padding)
    expect(idOf('123qwe456a...')).toBe('k1.vD_is8QVaHaD9Gf85JnuJ6pK5sVlYUkw5Ae_bOWizoo');
  });

  test.each([
    ['two parts', 'a.b'],
    ['four parts', `${HEADER}.${PAYLOAD}.x.y`],
    ['a first part that is not JSON', `abc.${PAYLOAD}.x`],
    ['a first part that is no object', `${segment('alg')}.${PAYLOAD}.x`],
    ['a first part that is null', `${segment(null)}.${PAYLOAD}.x`],
    ['a header without alg', `${segment({ typ: 'JWT' })}.${PAYLOAD}.x`],
    ['an alg that is no string', `${segment({ alg: 1 })}.${PAYLOAD}.x`],
  ])('is that of the whole token with %s', (_name, token) => {
    expect(idOf(token)).not.toBe(idOf(`${token.slice(0, -1)}z`));
  });

  test('differs for tokens that differ, whatever they are', () => {
    const visible = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
    });
    fc.assert(fc.property(visible, visible, (one, other) => (one === other) === (idOf(one) === idOf(other))));
  });
});

describe('the id of a JWT', () => {
  const jwt = `${HEADER}.${PAYLOAD}.c2lnbmF0dXJlAA`;

  test.each([
    ['an unused bit of the signature flipped', `${HEADER}.${PAYLOAD}.c2lnbmF0dXJlAB`],
    ['one more =', `${jwt}=`],
    ['two more =', `${jwt}==`],
    ['another signature that may be as valid (ES256)', `${HEADER}.${PAYLOAD}.b3RoZXI`],
  ])('is the same with %s', (_name, spelling) => {
    expect(idOf(spelling)).toBe(idOf(jwt));
  });

  test('differs with the header and with the payload', () => {
    expect(idOf(`${segment({ alg: 'RS256' })}.${PAYLOAD}.c2lnbmF0dXJlAA`)).not.toBe(idOf(jwt));
    expect(idOf(`${HEADER}.${segment({ sub: 'other' })}.c2lnbmF0dXJlAA`)).not.toBe(idOf(jwt));
  });

  test('is that of its signing input alone: two JWTs share an id only when they share that', () => {
    const part = fc.base64String().map((text) => Buffer.from(text, 'base64').toString('base64url'));
    fc.assert(
      fc.property(part, part, part, part, (payload, signature, otherPayload, otherSignature) => {
        const [one, other] = [`${HEADER}.${payload}.${signature}`, `${HEADER}.${otherPayload}.${otherSignature}`];
        return (idOf(one) === idOf(other)) === (payload === otherPayload);
      }),
    );
  });
});

describe('peppers', () => {
  test('the newest names what is recorded, and all of them what is looked up', () => {
    const { current, all } = tokenIds('x', peppers(`k2:${key('b')},k1:${key('a')}`));
    expect(all).toEqual([current, idOf('x')]);
    expect(current).toMatch(/^k2\./);
  });

  test('base64 and base64url, with and without padding, are the same key', () => {
    const bytes = Buffer.alloc(32, 0xfb);
    const ids = [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('base64').replace('=', '')].map(
      (text) => tokenIds('x', peppers(`k1:${text}`)).current,
    );
    expect(new Set(ids).size).toBe(1);
  });

  test.each([
    ['no name', key('a')],
    ['an empty name', `:${key('a')}`],
    ['a name of 17 characters', `${'k'.repeat(17)}:${key('a')}`],
    ['a name with a dot', `k.1:${key('a')}`],
    ['31 bytes', `k1:${Buffer.alloc(31).toString('base64')}`],
    ['no base64', `k1:${'!'.repeat(44)}`],
    ['one name twice', `k1:${key('a')},k1:${key('b')}`],
    ['four of them', ['a', 'b', 'c', 'd'].map((letter) => `${letter}:${key(letter)}`).join()],
    ['an empty entry', `k1:${key('a')},`],
  ])('%s is refused', (_name, text) => {
    expect(TokenPeppers.safeParse(text).success).toBe(false);
  });
});
