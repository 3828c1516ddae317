import { expect, test } from 'vitest';
import { boundToLink, ProviderTokens, sealTokens, unsealTokens } from '#shared/account-link/provider-tokens.ts';
import { seal } from '#shared/encryption.ts';
import { testKey } from '#test/support/outbox-run.ts';

const KEYS = [testKey('k1')];
const TOKENS = { accessToken: '!', refreshToken: '~', deviceId: 'd', accessTokenExpiresAt: 1 };

test('what is sealed for a link opens for it, and for no other', () => {
  const link = { subject: 'ann', fpType: 'vk', fpName: 'vk_1', sid: '1' };
  const sealed = sealTokens(TOKENS, boundToLink(link), KEYS);

  expect(sealed).not.toContain('accessToken');
  expect(unsealTokens(sealed, boundToLink(link), KEYS)).toEqual(TOKENS);
  for (const [part, other] of Object.entries({ subject: 'bob', fpType: 'ok', fpName: 'vk_2', sid: '2' })) {
    expect(() => unsealTokens(sealed, boundToLink({ ...link, [part]: other }), KEYS)).toThrow(
      expect.objectContaining({ fault: 'corrupt' }),
    );
  }
});

test('a link is named so that no two have one name', () => {
  expect(boundToLink({ subject: 'a', fpType: 'b', fpName: 'c', sid: 'd' })).toBe('["a","b","c","d"]');
});

test.each([{}, { accessToken: 'x'.repeat(8192) }, { deviceId: 'x'.repeat(255) }, { accessTokenExpiresAt: -1 }])(
  '%o are tokens of a provider',
  (tokens) => {
    expect(ProviderTokens.parse(tokens)).toEqual(tokens);
  },
);

test.each([
  { accessToken: '' },
  { accessToken: 'a b' },
  { accessToken: ' a' },
  { accessToken: 'a\n' },
  { refreshToken: 7 },
  { refreshToken: 'x'.repeat(8193) },
  { deviceId: '' },
  { deviceId: ' d' },
  { deviceId: 'd\n' },
  { deviceId: 'x'.repeat(256) },
  { accessTokenExpiresAt: 1.5 },
  { accessTokenExpiresAt: '1' },
])('what holds %o is none of ours', (tokens) => {
  expect(() => unsealTokens(seal(JSON.stringify(tokens), 'b', KEYS), 'b', KEYS)).toThrow(
    expect.objectContaining({ code: 'temporarily_unavailable', fault: 'corrupt' }),
  );
});
