import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readKey, readVariable } from '#shared/account-link/provider-secrets.ts';

describe('a secret', () => {
  test('is what the variable holds', () => {
    expect(readVariable('FAKE_SECRET', { FAKE_SECRET: 'x' })).toBe('x');
  });

  test.each([{}, { FAKE_SECRET: '' }, { FAKE_SECRET: undefined }, { FAKE_SECRET: 7 }])(
    'is missing in %j',
    (secrets) => {
      expect(() => readVariable('FAKE_SECRET', secrets)).toThrow(
        expect.objectContaining({ code: 'misconfigured', message: 'FAKE_SECRET must be set: providers.json names it' }),
      );
    },
  );
});

describe('a key', () => {
  const pemOf = (namedCurve: string) =>
    generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const P256 = pemOf('P-256');
  const read = (pem: string) => readKey('FAKE_KEY', { FAKE_KEY: pem });

  test('is read from its PEM, whose line feeds may be written out', () => {
    expect(read(P256).asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(read(P256.replaceAll('\n', '\\n')).equals(read(P256))).toBe(true);
  });

  test.each([
    ['what is no key', 'obviously fake'],
    ['a key of another curve', pemOf('P-384')],
    [
      'a key of another kind',
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ],
  ])('is not %s, and what was wrong is not told: it may quote the key', (_title, pem) => {
    expect(() => read(pem)).toThrow(
      expect.toSatisfy(
        (error: Error) =>
          error.message === 'FAKE_KEY must be a P-256 private key in PEM: providers.json names it' &&
          error.cause === undefined,
      ),
    );
  });

  test('is missing where the variable is not set', () => {
    expect(() => readKey('FAKE_KEY', {})).toThrow('FAKE_KEY must be set');
  });
});
