import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, test } from 'vitest';
import { TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { basic, CLAIMS, ISSUER_SETTINGS, SECRET } from '#test/support/test-issuer.ts';

const run = promisify(execFile);

/** A fifth of what a process has if nobody says otherwise, and four times as much, in KB. */
const STACKS = [200, 3900];

/** What the readers of foreign JSON make of values of many levels, in a process with such a stack. */
async function readNested(stack: number): Promise<Record<string, [number, unknown][]>> {
  const { stdout } = await run(process.execPath, [`--stack-size=${stack}`, 'test/support/nesting-process.ts']);
  return JSON.parse(stdout);
}

/** What a built function answers to these events, JSON each, in a process with such a stack. */
async function callBuilt(stack: number, functionName: string, events: readonly string[]): Promise<unknown[]> {
  const bundle = join(inject('bundles'), functionName, 'index.js');
  const { UNVERIFIED_TOKENS: _, ...settings } = ISSUER_SETTINGS;
  const { stdout } = await run(
    process.execPath,
    [`--stack-size=${stack}`, 'test/support/bundle-process.ts', bundle, ...events],
    { env: { ...process.env, ...settings, STORE_URL: 'memory:', TOKEN_PEPPERS: TEST_PEPPERS } },
  );
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

/** A list of so many levels. */
const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

function signNested(levels: number): string {
  const part = (text: string) => Buffer.from(text).toString('base64url');
  const claims = `${JSON.stringify({ ...CLAIMS(), sub: 'user-1' }).slice(0, -1)},"deep":${nested(levels - 1)}}`;
  const input = `${part('{"alg":"HS256","typ":"at+jwt"}')}.${part(claims)}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

/** @param deep JSON of what stands beside the token. */
const introspection = (token: string, deep = '0') =>
  JSON.stringify({
    headers: { request_id: 'r-1', authorization: basic('skill', 'skill-secret') },
    request_type: 'token.introspect',
    api_version: 1.0,
    payload: { token, deep: '$deep' },
  }).replace('"$deep"', deep);

describe.each(STACKS)('with a stack of %i KB', (stack) => {
  test('what is nested too deep is so by its number of levels', async () => {
    const deep = [500, 1000, 3000, 5000];
    const all = [16, 17, 64, 65, ...deep, 100_000];
    const upTo = (most: number, taken: unknown, refused: unknown) =>
      all.map((levels) => [levels, levels <= most ? taken : refused]);
    expect(await readNested(stack)).toEqual({
      body: upTo(16, 'taken', 'The body is nested deeper than 16 levels.'),
      answer: upTo(64, 'taken', 'outgoing: malformed'),
      'answer for the library': upTo(64, 200, 'outgoing: malformed'),
      'ID token': [...upTo(64, 'taken', 'nested too deep').slice(0, -1), [100_000, 'too long']],
      'access token': upTo(64, 'verified', 'malformed'),
      'issuer of an access token': upTo(0, '', 'unknown_issuer'),
      'canonical JSON': upTo(64, 'taken', 'RangeError: not canonical JSON: nested too deep'),
      'duplicate keys': upTo(100_000, false, ''),
      'a walk': upTo(100_000, false, ''),
    });
  });

  test('a built function answers by the number of levels of a token and of a body', async () => {
    // A token of more would be too long.
    const levels = [64, 65, 500, 1000, 2500];
    const events = [
      ...levels.map((count) => introspection(signNested(count))),
      ...levels.map((count) => introspection('a', nested(count))),
    ];
    expect(await callBuilt(stack, 'token-introspect', events)).toMatchObject([
      { status: 200, payload: { active: true, sub: 'user-1' } },
      ...levels.slice(1).map(() => ({ status: 200, payload: { active: false } })),
      ...levels.map(() => ({
        status: 400,
        payload: { error: 'invalid_request', error_description: 'The body is nested deeper than 16 levels.' },
      })),
    ]);
  });
});
