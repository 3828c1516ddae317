import { expect, test } from 'vitest';
import { CATALOGUE, findCatalogueRow } from '#shared/grant-revocation/catalogue.ts';
import { grantFamilyOf } from '#shared/grant-revocation/revocation-settings.ts';
import type { RevocationClient } from '#shared/grant-revocation/revoke-grant.ts';

/** How a provider of the catalogue departs from RFC 7009. */
function protocolOf(name: string) {
  const revocation = CATALOGUE[name]?.revocation;
  if (revocation === undefined) throw new Error(`${name} offers no way`);
  return revocation.protocol;
}

const CLIENT: RevocationClient = {
  ...{ endpoint: 'https://provider.example/api', clientId: 'c&1', clientSecret: 's', authMethod: 'none' },
};
const call = (name: string, client = CLIENT) => protocolOf(name).requestOf?.({ token: 't&1', sid: 'a/b', client });

test.each([
  ['123-abc.apps.googleusercontent.com', 'google 123'],
  ['x123-abc', 'google x123-abc'],
  ['123abc', 'google 123abc'],
  ['123', 'google 123'],
])('the Google client %s is of the family %s', (clientId, family) => {
  expect(grantFamilyOf({ preset: 'google', client_id: clientId })).toBe(family);
});

test('Slack takes the token as a credential, and no form', () => {
  expect(call('slack')).toEqual({
    ...{ method: 'POST', url: 'https://provider.example/api' },
    headers: { Accept: 'application/json', Authorization: 'Bearer t&1' },
  });
});

test.each([
  ['slack', { ok: true, revoked: true }, 'revoked'],
  ['slack', { ok: true, revoked: false }, undefined],
  ['slack', { ok: false, revoked: true }, undefined],
  ['slack', null, undefined],
  ['x', { revoked: true }, 'revoked'],
  ['x', { revoked: 'true' }, 'accepted_unverified'],
  ['x', null, 'accepted_unverified'],
  ['vk-id', { response: 1 }, 'revoked'],
  ['vk-id', { response: 0 }, undefined],
  ['vk-id', null, undefined],
  ['facebook', { success: true }, 'revoked'],
  ['facebook', { success: 1 }, undefined],
  ['facebook', null, undefined],
  ['linkedin', {}, 'accepted_unverified'],
  ['apple', {}, 'accepted_unverified'],
])('a success of %s with %j comes to %s', (name, body, result) => {
  expect(protocolOf(name).successOf?.(body)).toBe(result);
});

test.each([
  ['google', { token: 't' }],
  ['gitlab', { token: 't' }],
  ['twitch', { token: 't' }],
  ['linkedin', { token: 't' }],
  ['vk-id', { access_token: 't' }],
  ['yandex', { access_token: 't' }],
])('%s takes the fields %j', (name, fields) => {
  expect(protocolOf(name).fieldsOf?.('t')).toEqual(fields);
});

test('SberBusiness takes all of it in the query', () => {
  const query = 'access_token=t%261&client_id=c%261';
  const headers = { Accept: 'application/json', 'Content-Type': 'application/x-www-form-urlencoded' };

  expect(call('sberbusiness')).toEqual({
    ...{ method: 'POST', url: `https://provider.example/api?${query}&client_secret=s`, headers },
  });
  expect(call('sberbusiness', { ...CLIENT, clientSecret: undefined })?.url).toBe(
    `https://provider.example/api?${query}&client_secret=`,
  );
});

test('GitHub takes the token in JSON, at the path of our client', () => {
  const authorization = (secret: string) => `Basic ${Buffer.from(`c%261:${secret}`).toString('base64')}`;

  expect(call('github')).toEqual({
    ...{ method: 'DELETE', url: 'https://provider.example/api/c%261/grant', body: '{"access_token":"t&1"}' },
    headers: {
      Accept: 'application/vnd.github+json',
      'Content-Type': 'application/json',
      'X-GitHub-Api-Version': '2022-11-28',
      'User-Agent': 'unlink-functions',
      Authorization: authorization('s'),
    },
  });
  expect(call('github', { ...CLIENT, clientSecret: undefined })?.headers?.Authorization).toBe(authorization(''));
});

test('Facebook takes the token in the query, with a proof of our secret where there is one', () => {
  const url = 'https://provider.example/api/a%2Fb/permissions?access_token=t%261';
  const headers = { Accept: 'application/json' };

  expect(call('facebook', { ...CLIENT, clientSecret: undefined })).toEqual({ method: 'DELETE', url, headers });
  // printf 't&1' | openssl dgst -sha256 -hmac s
  const proof = '0f1d449f45e27f83b1c9a11cc466394096237d7de12b154b1fbffc825730c343';
  expect(call('facebook')?.url).toBe(`${url}&appsecret_proof=${proof}`);
});

test.each([
  [{ error: { code: 190 } }, 'code_190'],
  [{ error: { code: 1, message: 7 } }, 'code_1'],
  [{ error: { code: 100, message: 'Invalid appsecret_proof provided' } }, 'appsecret_proof'],
  [{ error: { code: '190' } }, undefined],
  [{ error: { code: 1.5 } }, undefined],
  [{ error: 'x' }, undefined],
  [{}, undefined],
  [null, undefined],
])("Facebook's error %j is %s", (body, word) => {
  expect(protocolOf('facebook').errorOf?.(body)).toBe(word);
});

test('the app of Facebook has a token of its own where it has a secret', () => {
  const { ownToken } = protocolOf('facebook');

  expect(ownToken?.(CLIENT)).toBe('c&1|s');
  expect(ownToken?.({ ...CLIENT, clientSecret: undefined })).toBeUndefined();
});

test.each(['constructor', 'toString', ''])('%j is no row', (name) => {
  expect(findCatalogueRow(name)).toBeUndefined();
});
