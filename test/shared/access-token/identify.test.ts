import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';
import type { VerifiedToken } from '#shared/access-token/verify.ts';
import { cutOffKeys, grantIds, jwtIds, textIds, tokenIds } from '#shared/token-revocation/token-id.ts';

const pepper = (name: string) => ({ name, key: createSecretKey(Buffer.alloc(32, name)) });
const PEPPERS = [pepper('k1')];

const verified = () => ({
  status: 'verified' as const,
  token: {
    issuer: 'https://auth.example',
    subject: 'user-1',
    isApplication: false,
    client: 'skill',
    scopes: [],
    claims: {},
  },
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

test('peppers that have changed make other ids of the same token', () => {
  const verification = verified();
  identifyToken('obviously-fake', verification, PEPPERS);

  expect(identifyToken('obviously-fake', verification, [pepper('k2')]).tokenIds[0]).toMatch(/^k2\./);
});

describe('what a token goes by', () => {
  const TWO = [pepper('k2'), pepper('k1')];
  const JWT = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.e30.c2ln`;
  const FULL = { ...verified().token, grant: { claim: 'grant_id', value: 'grant-1' }, jwtId: 'jwt-1', issuedAt: 7 };
  const identify = (token: string, more: Partial<VerifiedToken> = {}) =>
    identifyToken(token, { status: 'verified', token: { ...FULL, ...more } }, TWO);

  test('verified: itself, its jti, its grant and each cut-off, under every pepper; recorded under the newest', () => {
    const { issuer } = FULL;
    const [ids, jtis, grants] = [
      tokenIds(JWT, TWO),
      jwtIds({ issuer, jwtId: 'jwt-1', subject: 'user-1' }, TWO),
      grantIds({ issuer, claim: 'grant_id', value: 'grant-1', subject: 'user-1' }, TWO),
    ];
    const link = cutOffKeys({ issuer, link: ['user-1', 'skill'] }, TWO);
    const [subject, client] = [
      cutOffKeys({ issuer, subject: 'user-1' }, TWO),
      cutOffKeys({ issuer, client: 'skill' }, TWO),
    ];

    expect(identify(JWT)).toEqual({
      presented: {
        tokenIds: [...ids.all, ...jtis.all, ...textIds(JWT, TWO).all],
        grants: grants.all,
        cutOffKeys: [...link.all, ...subject.all, ...client.all],
        issuedAt: 7,
      },
      tokenIds: [ids.current, jtis.current],
      grants: [grants.current],
      linkCutOff: link.current,
      subjectRef: subject.current,
    });
  });

  test('verified and opaque: its text once', () => {
    expect(identify('opaque', { jwtId: undefined }).presented.tokenIds).toEqual(tokenIds('opaque', TWO).all);
  });

  test('verified without a grant and a client: no grant, and the link of no client', () => {
    const { issuer } = FULL;
    const link = cutOffKeys({ issuer, link: ['user-1', null] }, TWO);

    expect(identify('opaque', { grant: undefined, client: undefined })).toMatchObject({
      presented: { grants: [], cutOffKeys: [...link.all, ...cutOffKeys({ issuer, subject: 'user-1' }, TWO).all] },
      ...{ grants: [], linkCutOff: link.current },
    });
  });

  test('verified and of no user: no link and no subject, and a grant of its own', () => {
    const { issuer } = FULL;
    const known = identify('opaque', { subject: undefined });

    expect(known).toMatchObject({
      presented: { cutOffKeys: cutOffKeys({ issuer, client: 'skill' }, TWO).all },
      grants: [grantIds({ issuer, claim: 'grant_id', value: 'grant-1', subject: undefined }, TWO).current],
    });
    expect(known.linkCutOff).toBeUndefined();
    expect(known.subjectRef).toBeUndefined();
  });

  test('a refresh token by the same as an access token', () => {
    const asRefresh = identifyToken('opaque', { status: 'refresh', token: { ...FULL } }, TWO);

    expect(asRefresh).toEqual(identify('opaque'));
  });

  test.each([
    ['unverified: a JWT by what is signed', { status: 'unverified' }, tokenIds(JWT, TWO)],
    ['refused: a JWT by what is signed', { status: 'refused', reason: 'expired' }, tokenIds(JWT, TWO)],
    ['inactive: by its very text', { status: 'inactive' }, textIds(JWT, TWO)],
  ] as const)('%s, and nothing else', (_title, verification, ids) => {
    expect(identifyToken(JWT, verification, TWO)).toEqual({
      presented: { tokenIds: ids.all, grants: [], cutOffKeys: [] },
      ...{ tokenIds: [ids.current], grants: [] },
    });
  });
});
