import { createPrivateKey, type KeyObject } from 'node:crypto';
import { Misconfigured } from '../errors.ts';

/** The variables that providers' rows name. */
export type ProviderSecrets = Readonly<Record<string, unknown>>;

/**
 * The P-256 key that the variable `name` holds in PEM.
 *
 * @throws {Misconfigured} The variable is not set, or holds another thing.
 */
export function readKey(name: string, environment: ProviderSecrets): KeyObject {
  const pem = readVariable(name, environment);
  try {
    // A variable that holds one line has its line feeds written out.
    const key = createPrivateKey(pem.replaceAll('\\n', '\n'));
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Without the cause: it may quote the key.
  }
  throw new Misconfigured(`${name} must be a P-256 private key in PEM: providers.json names it`);
}

/**
 * What the variable `name` holds.
 *
 * @throws {Misconfigured} The variable is not set.
 */
export function readVariable(name: string, environment: ProviderSecrets): string {
  const value = environment[name];
  if (typeof value !== 'string' || value === '') {
    throw new Misconfigured(`${name} must be set: providers.json names it`);
  }
  return value;
}
