import { Text } from '../account-link/request.ts';
import { isJsonObject, type JsonObject } from '../json.ts';

/** What a provider has said of an account, by who said it. */
export interface AccountClaims {
  readonly token: JsonObject;
  readonly profile?: JsonObject | undefined;
  readonly id_token?: JsonObject | undefined;
}

/** A claim by its path, such as `profile.response.0.id`: of what an object has itself, never of what it inherits. */
export function readClaim(claims: AccountClaims, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => {
    if (!(isJsonObject(value) || Array.isArray(value)) || !Object.hasOwn(value, key)) return undefined;
    // It has that property itself.
    return (value as JsonObject)[key];
  }, claims);
}

/** The account's id, or undefined where the claim is none. A number that is not exact is none: two would be one. */
export function readSid(claims: AccountClaims, path: string): string | undefined {
  const value = readClaim(claims, path);
  const { success, data } = Text.safeParse(Number.isSafeInteger(value) ? String(value) : value);
  return success ? data : undefined;
}

const MAX_NAME = 255;

/** What people know the account by, or undefined where that cannot be shown: never a reason to refuse the account. */
export function readUserName(claims: AccountClaims, paths: readonly string[]): string | undefined {
  const parts = paths.map((path) => readClaim(claims, path)).filter((part) => typeof part === 'string');
  const name = cut(parts.join(' ').trim());
  // What turns the text around would let a name say what it is not.
  return Text.safeParse(name).success && !/\p{Bidi_Control}/u.test(name) ? name : undefined;
}

/** Not in the middle of a character. */
function cut(text: string): string {
  const start = text.slice(0, MAX_NAME);
  return start.isWellFormed() || !text.isWellFormed() ? start : start.slice(0, -1);
}

/** The account's e-mail, where the provider says that it is verified: `true`, or as Apple writes it. */
export function readVerifiedEmail(claims: AccountClaims, path: string, verifiedPath: string): string | undefined {
  const isVerified = [true, 'true'].some((value) => value === readClaim(claims, verifiedPath));
  const { success, data } = Text.safeParse(readClaim(claims, path));
  return isVerified && success && /^[^\s@]+@[^\s@]+$/.test(data) ? data : undefined;
}
