import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LinkProject, startLinkProject, user } from '#test/support/link-calls.ts';
import { basic } from '#test/support/test-issuer.ts';

let blitz: LinkProject;
let count = 0;

beforeAll(async () => {
  blitz = await startLinkProject();
});
afterAll(() => blitz.close());

const FFFD = '\ufffd';
const TEXT_REFUSED = expect.stringMatching(/^The body is not UTF-8, or holds U\+FFFD, which must be escaped/);
const BYTES_REFUSED = 'The body is not UTF-8.';
const BOM_REFUSED = 'The body is not JSON.';

/** Links an account by an event that the gateway makes of JSON: as text, or as Base64. Returns its name as it is listed. */
async function linkByEvent(body: string | Buffer): Promise<unknown> {
  count += 1;
  const authorization = await user(`subject-${count}`);
  const answer = await blitz.project.raw('external-provider-link', {
    version: '1.0',
    operationId: 'external-provider-link',
    httpMethod: 'POST',
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    pathParameters: { subjectId: 'current', fpType: 'vk', fpName: 'vk_1', sid: `sid-${count}` },
    requestContext: {},
    body: typeof body === 'string' ? body : body.toString('base64'),
    isBase64Encoded: typeof body !== 'string',
  });
  const { statusCode, body: text } = JSON.parse(answer.body);
  if (statusCode !== 204) return { status: statusCode, desc: JSON.parse(text).desc };
  const [link] = (await blitz.links(authorization, 'current')) as [{ userName: string }];
  return link.userName;
}

const named = (name: string) => `{"federatedAccountName":"${name}"}`;
const latin1 = (text: string) => Buffer.from(text, 'latin1');

describe('a JSON body', () => {
  test.each<[string, string | Buffer, unknown]>([
    ['U+FFFD in UTF-8 is taken', Buffer.from(named(`a${FFFD}b`)), `a${FFFD}b`],
    ['U+FFFD escaped is taken', Buffer.from(named('a\\ufffdb')), `a${FFFD}b`],
    ['bytes that are not UTF-8 are refused', latin1(named('a\xff')), { status: 400, desc: BYTES_REFUSED }],
    ['a surrogate in UTF-8 is refused', latin1(named('\xed\xa0\x80')), { status: 400, desc: BYTES_REFUSED }],
    ['an overlong form is refused', latin1(named('\xc1\x81')), { status: 400, desc: BYTES_REFUSED }],
    ['a sequence that ends early is refused', latin1('{}\xe2\x82'), { status: 400, desc: BYTES_REFUSED }],
    ['a byte order mark is refused', Buffer.from(`\ufeff${named('a')}`), { status: 400, desc: BOM_REFUSED }],
    ['U+FEFF in a text is taken', Buffer.from(named('a\ufeffb')), 'a\ufeffb'],
  ])('that comes as bytes: %s', async (_name, body, expected) => {
    expect(await linkByEvent(body)).toEqual(expected);
  });

  test.each<[string, string, unknown]>([
    ['U+FFFD is refused, and how to write it is said', named(`a${FFFD}`), { status: 400, desc: TEXT_REFUSED }],
    ['U+FFFD escaped is taken', named('a\\ufffdb'), `a${FFFD}b`],
    ['half a character is refused', named('a\ud83d'), { status: 400, desc: TEXT_REFUSED }],
    ['a byte order mark is refused', `\ufeff${named('a')}`, { status: 400, desc: BOM_REFUSED }],
    ['any other character is taken', named('a\u{10fffd}\ufeff'), 'a\u{10fffd}\ufeff'],
  ])('that the platform has made text of: %s', async (_name, body, expected) => {
    expect(await linkByEvent(body)).toEqual(expected);
  });

  test('says how U+FFFD is written', async () => {
    expect(await linkByEvent(named(FFFD))).toEqual({ status: 400, desc: expect.stringMatching(/ as \\ufffd\.$/) });
  });
});

describe('a form', () => {
  const introspect = async (body: Buffer<ArrayBuffer>) => {
    const response = await fetch(`${blitz.project.gatewayUrl}/oauth/introspect`, {
      method: 'POST',
      headers: {
        Authorization: basic('admin', 'admin-secret'),
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      body,
    });
    return { status: response.status, json: await response.json() };
  };
  const unknown = { status: 200, json: { active: false } };
  const refused = (error_description: unknown) => ({
    status: 400,
    json: { error: 'invalid_request', error_description },
  });

  test.each<[string, Buffer<ArrayBuffer>, unknown]>([
    ['U+FFFD in UTF-8 is taken', Buffer.from(`token=a&x=${FFFD}`), unknown],
    ['U+FFFD percent-encoded is taken', Buffer.from('token=a&x=%EF%BF%BD'), unknown],
    ['bytes that are not UTF-8 are refused', latin1('token=a&x=\xff'), refused(BYTES_REFUSED)],
    ['a byte order mark is a part of the first name', Buffer.from('\ufefftoken=a'), refused(expect.any(String))],
  ])('%s', async (_name, body, expected) => {
    expect(await introspect(body)).toEqual(expected);
  });

  test('that the platform has made text of must have U+FFFD percent-encoded', async () => {
    const event = {
      version: '1.0',
      operationId: 'token-introspect',
      httpMethod: 'POST',
      headers: {
        Authorization: basic('admin', 'admin-secret'),
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      requestContext: {},
      body: `token=a&x=${FFFD}`,
      isBase64Encoded: false,
    };
    const answer = await blitz.project.raw('token-introspect', event);
    expect(JSON.parse(JSON.parse(answer.body).body)).toEqual({
      error: 'invalid_request',
      error_description: expect.stringMatching(/, which must be escaped: /),
    });
  });
});
