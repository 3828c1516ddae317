import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** What a process writes that logs these fields, given as source text. */
function lineOf(fields: string): unknown {
  const source = `
    import { createLogger } from '#shared/runtime/logger.ts';
    createLogger('token-revoke').log('WARN', 'token-revoke: ok', ${fields});`;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
  expect(text.split('\n')).toEqual([expect.any(String), '']);
  return JSON.parse(text);
}

test('a line is one JSON object with its level, message, time and function, and the fields given', () => {
  expect(lineOf(`{ request_id: 'a\\nb', status: 200, nothing: undefined }`)).toEqual({
    level: 'WARN',
    message: 'token-revoke: ok',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    function: 'token-revoke',
    request_id: 'a\nb',
    status: 200,
  });
});

test('what JSON cannot say is said to be so, and the rest of the line is there', () => {
  const line = lineOf(`(() => {
    const cause = {};
    cause.cause = cause;
    return { outcome: 'ok', cause, bytes: 1n, nested: { a: [2n] }, thrown: { toJSON() { throw new Error('a') } } };
  })()`);

  const unsayable = 'not JSON';
  expect(line).toMatchObject({
    outcome: 'ok',
    cause: unsayable,
    bytes: unsayable,
    nested: unsayable,
    thrown: unsayable,
  });
});
