import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonicalEmailIds,
  canonicalSpelling,
  cutOffKeys,
  grantIds,
  jwtIds,
  type KeyedIds,
  TokenPeppers,
  textIds,
  tokenIds,
} from '#shared/token-revocation/token-id.ts';

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

describe('what is recorded is found again: the HMAC under the pepper', () => {
  const hmac = (text: string, letter = 'a') =>
    createHmac('sha256', Buffer.alloc(32, letter)).update(text).digest('base64url');
  const jwt = `${HEADER}.${PAYLOAD}.c2ln`;
  const ISSUER = 'https://auth.example';

  test.each<[string, () => KeyedIds, string]>([
    ['of a JWT, of what is signed', () => tokenIds(jwt, ONE), `v1|jwt|${HEADER}.${PAYLOAD}`],
    ['of the text of a JWT, of all of it', () => textIds(jwt, ONE), `v1|token|${jwt}`],
    [
      'of a jti, of its issuer, itself and whose it is',
      () => jwtIds({ issuer: ISSUER, jwtId: 'j', subject: 's' }, ONE),
      `v1|jti|["${ISSUER}","j","s"]`,
    ],
    [
      'of a jti of no user',
      () => jwtIds({ issuer: ISSUER, jwtId: 'j', subject: undefined }, ONE),
      `v1|jti|["${ISSUER}","j",null]`,
    ],
    [
      'of a grant, of its issuer, the claim, its value and whose it is',
      () => grantIds({ issuer: ISSUER, claim: 'c', value: 'g', subject: 's' }, ONE),
      `v1|grant|["${ISSUER}","c","g","s"]`,
    ],
    [
      'of a grant of no user',
      () => grantIds({ issuer: ISSUER, claim: 'c', value: 'g', subject: undefined }, ONE),
      `v1|grant|["${ISSUER}","c","g",null]`,
    ],
    ['of an e-mail address', () => canonicalEmailIds('a@b.test', ONE), 'v1|email|a@b.test'],
    [
      'of the cut-off of a subject',
      () => cutOffKeys({ issuer: ISSUER, subject: 's' }, ONE),
      `v1|cut-off|["${ISSUER}","subject","s"]`,
    ],
    [
      'of the cut-off of a client',
      () => cutOffKeys({ issuer: ISSUER, client: 'c' }, ONE),
      `v1|cut-off|["${ISSUER}","client","c"]`,
    ],
    [
      'of the cut-off of a link',
      () => cutOffKeys({ issuer: ISSUER, link: ['s', 'c'] }, ONE),
      `v1|cut-off|["${ISSUER}","link","s","c"]`,
    ],
    [
      'of the cut-off of a link of no client',
      () => cutOffKeys({ issuer: ISSUER, link: ['s', null] }, ONE),
      `v1|cut-off|["${ISSUER}","link","s",null]`,
    ],
  ])('%s', (_title, ids, text) => {
    expect(ids()).toEqual({ current: `k1.${hmac(text)}`, all: [`k1.${hmac(text)}`] });
  });
});

test('no two issuers and subjects share a key, whatever their texts', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '"', ',', '[', 'null', '\\'), maxLength: 4 });
  const who = fc.record({ issuer: text, subject: text, client: text });
  const keysOf = ({ issuer, subject, client }: { issuer: string; subject: string; client: string }) =>
    [
      grantIds({ issuer, claim: 'c', value: client, subject }, ONE),
      cutOffKeys({ issuer, subject }, ONE),
      cutOffKeys({ issuer, link: [subject, client] }, ONE),
      cutOffKeys({ issuer, link: [subject, null] }, ONE),
    ].map(({ current }) => current);
  fc.assert(
    fc.property(who, who, (one, other) => {
      const isSame = one.issuer === other.issuer && one.subject === other.subject;
      return isSame || new Set([...keysOf(one), ...keysOf(other)]).size === 8;
    }),
    { numRuns: 500 },
  );
});

describe('the canonical spelling of a token', () => {
  const jwt = `${HEADER}.${PAYLOAD}.c2lnbmF0dXJlAA`;

  test.each([
    ['with an unused bit of the signature flipped', `${HEADER}.${PAYLOAD}.c2lnbmF0dXJlAB`],
    ['with padding', `${jwt}==`],
    ['as it is', jwt],
  ])('of a JWT %s is that of its server', (_title, spelling) => {
    expect(canonicalSpelling(spelling)).toBe(jwt);
  });

  test.each(['opaque', 'a.b.c==', `${jwt}.x`])('of %j is itself', (token) => {
    expect(canonicalSpelling(token)).toBe(token);
  });

  test('gives every spelling of a JWT the same ids by its text, and another signature other ones', () => {
    const { current } = textIds(jwt, ONE);

    for (const other of [`${HEADER}.${PAYLOAD}.c2lnbmF0dXJlAB`, `${jwt}==`]) {
      expect(textIds(other, ONE).current).toBe(current);
    }
    expect(textIds(`${HEADER}.${PAYLOAD}.c2lnbmF0dXJlBA`, ONE).current).not.toBe(current);
  });
});

describe('the setting', () => {
  const RULE =
    'must be name:base64,…, at most 3, with names of 1 to 16 letters and digits, all different, and at least 32 bytes each';
  const issueOf = (text: string | undefined) => TokenPeppers.safeParse(text).error?.issues[0]?.message;

  test('says how it is made where it is not set', () => {
    expect(issueOf(undefined)).toBe(
      'must be set: name:base64 of 32 random bytes, the newest first, separated by commas',
    );
  });

  test('says what it must be, and not what it is', () => {
    expect(issueOf('secret')).toBe(RULE);
  });

  test('may have three peppers, blanks around them, and names of 1 and 16 characters', () => {
    const text = ` a:${key('a')} , ${'Z9'.repeat(8)}:${key('b')},c:${key('c')}\n`;

    expect(peppers(text).map(({ name }) => name)).toEqual(['a', 'Z9'.repeat(8), 'c']);
  });

  test.each([
    ['something in front', `;k1:${key('a')}`],
    ['something behind', `k1:${key('a')};`],
    ['three times the padding', `k1:${key('a')}==`],
    ['more than 1024 characters', `k1:${Buffer.alloc(771).toString('base64')}`],
  ])('is refused with %s', (_title, text) => {
    expect(issueOf(text)).toBe(RULE);
  });
});
