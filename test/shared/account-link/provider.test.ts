import { describe, expect, test } from 'vitest';
import { findProvider, ProviderEnvironment, readProviders } from '#shared/account-link/provider.ts';

const ROW = { type: 'vk', name: 'vk_1' };

describe('the providers', () => {
  test('are read with all that a row may have', () => {
    const row = { ...ROW, title: 'VK', revocation: { preset: 'x' }, bind: null };

    expect(
      readProviders(
        [
          { ...row, manage_url: 'https://vk.example/apps' },
          { ...ROW, name: 'vk_2' },
        ],
        {},
      ),
    ).toEqual([
      { ...row, manageUrl: 'https://vk.example/apps' },
      { ...ROW, name: 'vk_2', manageUrl: undefined },
    ]);
  });

  test('are those that are bundled, unless the settings have others', () => {
    const PROVIDERS = ProviderEnvironment.PROVIDERS.parse('[{"type":"ok","name":"ok_1"}]');

    expect(readProviders([ROW], { PROVIDERS })).toMatchObject([{ type: 'ok' }]);
  });

  test.each<[string, unknown]>([
    ['no list', ROW],
    ['no type', [{ name: 'vk_1' }]],
    ['no name', [{ type: 'vk' }]],
    ['an empty type', [{ ...ROW, type: '' }]],
    ['a name with a colon', [{ ...ROW, name: 'vk:1' }]],
    ['a name with a blank in front', [{ ...ROW, name: ' vk_1' }]],
    ['a name with a line feed', [{ ...ROW, name: 'vk_1\n' }]],
    ['a name of 256 characters', [{ ...ROW, name: 'x'.repeat(256) }]],
    ['an empty title', [{ ...ROW, title: '' }]],
    ['a title of 65 characters', [{ ...ROW, title: 'x'.repeat(65) }]],
    ['a page that is not https', [{ ...ROW, manage_url: 'http://vk.example/' }]],
    ['a page with something in front', [{ ...ROW, manage_url: ' https://vk.example/' }]],
    ['a page with a blank', [{ ...ROW, manage_url: 'https://vk.example/ x' }]],
    ['a page without a host', [{ ...ROW, manage_url: 'https://' }]],
    ['a member that does not exist', [{ ...ROW, revokation: {} }]],
    ['one type and name twice', [ROW, ROW]],
  ])('are refused with %s', (_title, rows) => {
    expect(() => readProviders(rows, {})).toThrow(
      expect.objectContaining({
        code: 'misconfigured',
        message: 'providers.json is not a list of providers as docs/external-providers.md has it',
      }),
    );
    expect(ProviderEnvironment.PROVIDERS.safeParse(JSON.stringify(rows)).error?.issues).toMatchObject([
      { message: 'must be JSON as providers.json: a list of providers, each "type" and "name" once' },
    ]);
  });

  test('may share a type or a name, and have the longest of both', () => {
    const longest = { type: 'A.z_0-9', name: 'x'.repeat(255), title: 'x'.repeat(64) };
    const rows = [ROW, { ...ROW, name: 'vk_2' }, { ...ROW, type: 'ok' }, longest];

    expect(readProviders(rows, {})).toHaveLength(4);
  });
});

test('a provider is found by type and name together, byte for byte', () => {
  const providers = [ROW, { type: 'ok', name: 'ok_1' }];

  expect(findProvider(providers, 'vk', 'vk_1')).toBe(ROW);
  for (const [type, name] of [
    ['vk', 'ok_1'],
    ['ok', 'vk_1'],
    ['VK', 'vk_1'],
    [undefined, undefined],
  ]) {
    expect(findProvider(providers, type, name)).toBeUndefined();
  }
});
