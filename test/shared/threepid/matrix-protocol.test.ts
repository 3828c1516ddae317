import { describe, expect, test } from 'vitest';
import { MatrixError } from '#shared/threepid/matrix-error.ts';
import { answerMatrix, CORS_HEADERS, matrixErrorBody, matrixOperations } from '#shared/threepid/matrix-protocol.ts';

describe('an answer', () => {
  const failWith = (error: Error) => answerMatrix(() => Promise.reject(error));

  test('is 200 with what the work comes to', async () => {
    expect(await answerMatrix(async () => ({ done: true }))).toEqual({ status: 200, body: { done: true } });
  });

  test('is the standard error response to a caller', async () => {
    expect(await failWith(new MatrixError(499, 'M_OWN', 'In its words'))).toEqual({
      status: 499,
      body: { errcode: 'M_OWN', error: 'In its words' },
    });
  });

  test.each([true, false])('has soft_logout %s and Retry-After where the error has them', async (softLogout) => {
    expect(await failWith(new MatrixError(401, 'M_OWN', 'x', { retryAfter: '7', softLogout }))).toEqual({
      status: 401,
      body: { errcode: 'M_OWN', error: 'x', soft_logout: softLogout },
      headers: { 'Retry-After': '7' },
    });
  });

  test('of 500 and above is a failure in the log, with its cause', async () => {
    const cause = new TypeError('obviously fake');

    expect(await failWith(new MatrixError(500, 'M_OWN', 'x', { cause }))).toEqual({
      ...{ status: 500, body: { errcode: 'M_OWN', error: 'x' } },
      ...{ failure: 'temporarily_unavailable', cause },
    });
  });

  test('is not made of another error', async () => {
    const fault = new TypeError('obviously fake');

    await expect(failWith(fault)).rejects.toBe(fault);
  });
});

test.each([
  ['invalid_request', 'M_BAD_JSON'],
  ['invalid_token', 'M_MISSING_TOKEN'],
  ['not_found', 'M_UNRECOGNIZED'],
  ['payload_too_large', 'M_TOO_LARGE'],
  ['server_error', 'M_UNKNOWN'],
] as const)('an error %s outside of the operations is %s', (code, errcode) => {
  expect(matrixErrorBody(code, 'What is wrong.')).toEqual({ errcode, error: 'What is wrong.' });
});

test('every answer may be read by a page of any origin', () => {
  expect(CORS_HEADERS).toEqual({
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE, OPTIONS',
    'Access-Control-Allow-Headers': 'X-Requested-With, Content-Type, Authorization',
    'Access-Control-Expose-Headers': 'Retry-After',
  });
});

describe('the operations of a function', () => {
  const operations = matrixOperations('unbind', async (call: { path: () => { version?: string } }) => ({
    status: 200,
    body: { version: call.path().version },
  }));
  const answerOf = (name: string, version?: string) =>
    operations[name]?.({ path: () => (version === undefined ? {} : { version }) }, undefined);

  test('are its own, its preflight, and what there is beside it', () => {
    expect(Object.keys(operations)).toEqual(['unbind', 'unbind.preflight', 'unbind.other-method', 'unbind.other-path']);
  });

  test.each(['r0', 'v3', 'unstable'])('are there under the version %s', async (version) => {
    expect(await answerOf('unbind', version)).toEqual({ status: 200, body: { version } });
  });

  const NO_PATH = { status: 404, body: { errcode: 'M_UNRECOGNIZED', error: 'There is no such path.' } };
  test.each(['v1', '', undefined])('are not there under the version %j', async (version) => {
    expect(await answerOf('unbind', version)).toEqual(NO_PATH);
  });

  test('answer a preflight, another method and another path', async () => {
    expect(await answerOf('unbind.preflight')).toEqual({ status: 204 });
    expect(await answerOf('unbind.other-path')).toEqual(NO_PATH);
    expect(await answerOf('unbind.other-method')).toEqual({
      status: 405,
      body: { errcode: 'M_UNRECOGNIZED', error: 'The path has no such method.' },
    });
  });
});
