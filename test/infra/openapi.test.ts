import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { blitzError } from '#shared/account-link/blitz-error.ts';
import { CallerError, type CallerErrorCode, type FailureCode } from '#shared/errors.ts';
import { errorAnswer } from '#shared/runtime/function-definition.ts';
import { startProject } from '#test/support/emulated-project.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';
import { type DocumentedOperation, examplesOf, lint, readDocumentedApi, undocumentedIn } from './documented-api.ts';

let operations: DocumentedOperation[];
let checkedSchemes: string[];
beforeAll(async () => {
  ({ operations, checkedSchemes } = await readDocumentedApi());
});

const named = (pick: (operation: DocumentedOperation) => boolean) =>
  operations.filter(pick).map(({ operationId }) => operationId);

describe('openapi.yaml', () => {
  test('is clean under a linter, its examples are of their schemas, and no part of it is unused', async () => {
    expect(await lint()).toEqual([]);
  });

  test('a linter that finds nothing would find a wrong example, and a path without its parameter', async () => {
    const problems = await lint((text) =>
      text
        .replace('{ id_server_unbind_result: no-support }', '{ id_server_unbind_result: perhaps }')
        .replace('          name: fpType\n', '          name: fpKind\n'),
    );

    expect(problems).toContainEqual(expect.stringContaining('(no-invalid-media-type-examples)'));
    expect(problems).toContainEqual(expect.stringContaining('(path-parameters-defined)'));
  });

  test('shows an example of every body that is sent, and of every one that is answered', () => {
    const bodies = operations.flatMap(({ operationId, requestBody, responses }) => [
      ...Object.values(requestBody?.content ?? {}).map((media) => ({ place: `${operationId}: request`, media })),
      ...Object.entries(responses).flatMap(([status, { content = {} }]) =>
        Object.values(content).map((media) => ({ place: `${operationId}: ${status}`, media })),
      ),
    ]);

    expect(bodies.length).toBeGreaterThan(100);
    expect(bodies.filter(({ media }) => examplesOf(media).length === 0).map(({ place }) => place)).toEqual([]);
  });

  test('says of a call with any usable credential and of one without what it is answered with', () => {
    const isAnswered =
      (...statuses: string[]) =>
      ({ responses }: DocumentedOperation) =>
        statuses.every((status) => status in responses);
    const ofFunctions = (operation: DocumentedOperation) =>
      operation['x-yc-apigateway-integration'].type === 'cloud_functions';

    // A request id can be unusable, and a setting wrong, whatever is called.
    expect(named((operation) => ofFunctions(operation) && !isAnswered('400', '500')(operation))).toEqual([]);
    expect(named((operation) => operation.requestBody !== undefined && !isAnswered('413')(operation))).toEqual([]);
    expect(named((operation) => operation.security.length > 0 && !isAnswered('401')(operation))).toEqual([]);
  });

  test('leaves no operation that is not a function’s to a scheme that the gateway does not check', () => {
    const isUnchecked = ({ security, 'x-yc-apigateway-integration': { type } }: DocumentedOperation) =>
      type !== 'cloud_functions' &&
      security.some((schemes) => !Object.keys(schemes).some((name) => checkedSchemes.includes(name)));

    expect(named(isUnchecked)).toEqual([]);
    expect(checkedSchemes).toEqual(['token']);
  });
});

/** The whole closed list: a code that is added has to be here. */
const CODES: Readonly<Record<CallerErrorCode | FailureCode, 'caller' | 'failure'>> = {
  already_linked_other_user: 'caller',
  insufficient_scope: 'caller',
  invalid_client: 'caller',
  invalid_grant: 'caller',
  invalid_request: 'caller',
  invalid_token: 'caller',
  last_login_method: 'caller',
  limit_reached: 'caller',
  misconfigured: 'failure',
  not_found: 'caller',
  payload_too_large: 'caller',
  server_error: 'failure',
  temporarily_unavailable: 'failure',
  unsupported_request_type: 'caller',
  unsupported_token_type: 'caller',
};

describe('every error is documented with its status and an example', () => {
  const examplesAt = (tags: readonly string[], status: number | string) =>
    operations
      .filter((operation) => operation.tags.some((tag) => tags.includes(tag)))
      .flatMap(({ responses }) => examplesOf(responses[status]?.content?.['application/json']));

  test.each([
    // What a raw call alone, or another protocol alone, is answered with.
    ['identity', blitzError, ['invalid_grant', 'unsupported_request_type', 'unsupported_token_type']],
    [
      'token',
      (error: string, error_description: string) => ({ error, error_description }),
      [
        ...['already_linked_other_user', 'insufficient_scope', 'last_login_method', 'limit_reached', 'not_found'],
        'unsupported_request_type',
      ],
    ],
  ])('of %s', (tag, errorBody, others) => {
    const codes = Object.entries(CODES).filter(([code]) => !others.includes(code));
    const undocumented = codes.flatMap(([code, kind]) => {
      // Of the keys of CODES there are no others.
      const known = code as CallerErrorCode & FailureCode;
      const error = kind === 'failure' ? known : new CallerError(known, 'example');
      const { status, body } = errorAnswer(error, { errorBody });
      const { error: word } = Object(body);
      const isShown = examplesAt([tag], status).some((example) => Object(example).error === word);
      return isShown ? [] : `${status} ${word}`;
    });

    expect(undocumented).toEqual([]);
  });

  test('of Matrix, wherever the code makes one', () => {
    const sources = readdirSync('shared/threepid').map((file) => readFileSync(`shared/threepid/${file}`, 'utf8'));
    const made = sources.flatMap((text) => [...text.matchAll(/\bMatrixError\(\s*(\d{3}),\s*'(M_\w+)'/g)]);

    expect(made.length).toBeGreaterThan(10);
    const undocumented = made.filter(
      ([, status = '', errcode]) =>
        !examplesAt(['matrix'], status).some((example) => Object(example).errcode === errcode),
    );
    expect(undocumented.map(([, status, errcode]) => `${status} ${errcode}`)).toEqual([]);
  });
});

/** Of the development clients, one that may do what applications may. */
const APPLICATION = `Basic ${Buffer.from('identity-admin:development-only').toString('base64')}`;

/** The path with the examples of its parameters. */
function pathOf({ path, parameters }: DocumentedOperation): string {
  const inPath = parameters.filter((parameter) => parameter.in === 'path');
  return inPath.reduce(
    (text, { name, example }) => text.replace(`{${name}}`, String(example).replaceAll('#', '%23')),
    path,
  );
}

/** The example of the request as it is sent. */
function bodyOf({ requestBody }: DocumentedOperation): { type: string; text: string } | undefined {
  const [[type, media] = []] = Object.entries(requestBody?.content ?? {});
  if (type === undefined) return undefined;
  const [example] = examplesOf(media);
  const text = type.endsWith('json') ? JSON.stringify(example) : `${new URLSearchParams(Object(example))}`;
  return { type, text };
}

/** The example without a credential, with a user's and an application's, with an unusable request id, and one that is too large. */
function callsOf(operation: DocumentedOperation, token: string) {
  const method = operation.method === 'trace' ? 'PATCH' : operation.method.toUpperCase();
  const body = method === 'HEAD' || method === 'GET' ? undefined : bodyOf(operation);
  const type: Record<string, string> = body === undefined ? {} : { 'Content-Type': body.type };
  const variations: Record<string, string>[] = [
    {},
    { Authorization: `Bearer ${token}` },
    { Authorization: APPLICATION },
    { Authorization: 'Bearer ' },
    { 'X-Request-Id': 'x'.repeat(256) },
  ];
  return [
    ...variations.map((headers) => ({ method, headers: { ...type, ...headers }, text: body?.text })),
    ...(body === undefined ? [] : [{ method, headers: type, text: 'x'.repeat(300_000) }]),
  ];
}

test('every operation answers its own example, with and without a credential, as it is documented', async () => {
  const project = await startProject({ local: { ...ISSUER_SETTINGS, ISSUER } });
  onTestFinished(() => project.close());
  const token = await issueToken();

  const faults: string[] = [];
  const statuses = new Set<number>();
  const calls = operations.flatMap((operation) => callsOf(operation, token).map((call) => ({ operation, ...call })));
  // One after another: so many at once are more than an instance has time for.
  for (const { operation, method, headers, text } of calls) {
    const answer = await project.gateway(method, pathOf(operation), headers, text);
    statuses.add(answer.status);
    const fault = undocumentedIn(operation, answer);
    if (fault !== undefined) faults.push(fault);
  }

  expect(faults).toEqual([]);
  expect([...statuses].sort()).toEqual(expect.arrayContaining([200, 204, 400, 401, 403, 404, 405, 413]));
}, 60_000);

test('an answer that is not documented is found', async () => {
  const revoke = operations.find(({ operationId }) => operationId === 'token-revoke');
  const json = new Headers({ 'Content-Type': 'application/json; charset=utf-8' });
  const faultOf = (status: number, body: string, headers = json) =>
    revoke && undocumentedIn(revoke, { status, headers, body });

  expect(faultOf(418, '')).toContain('token-revoke: 418 is not documented');
  expect(faultOf(400, '{"error":"invalid_request"}')).toContain('token-revoke: 400 is not of its schema');
  expect(faultOf(400, '{"error":"odd","error_description":"x"}')).toContain('token-revoke: 400 is not of its schema');
  expect(faultOf(400, '<p>', new Headers({ 'Content-Type': 'text/html' }))).toBe(
    'token-revoke: 400 is of the type text/html',
  );
  expect(faultOf(200, '{}')).toBe('token-revoke: 200 has a body');
  expect(faultOf(400, '{"error":"invalid_request","error_description":"x"}')).toBeUndefined();
});
