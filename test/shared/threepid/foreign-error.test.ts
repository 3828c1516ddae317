import { expect, test } from 'vitest';
import { foreignErrorOf } from '#shared/threepid/foreign-error.ts';
import { answered } from '#test/support/matrix-ports.ts';

const WORDS = { errcode: 'M_OWN', error: 'In its own words' };

/** What is passed on of an answer with this body. */
const passedOn = (body: object, headers = {}) => foreignErrorOf({ ...answered(403, body), headers });

test('passes the error on, with all of its body to look at', () => {
  const body = { ...WORDS, more: 1 };

  expect(passedOn(body)).toEqual({ ...WORDS, retryAfter: undefined, body });
});

test.each<[string, object]>([
  ['no errcode', { error: 'x' }],
  ['an errcode that is no text', { errcode: 7, error: 'x' }],
  ['no error', { errcode: 'M_OWN' }],
  ['an error that is no text', { errcode: 'M_OWN', error: null }],
  ['a list', [WORDS]],
])('finds none in a body with %s', (_title, body) => {
  expect(passedOn(body)).toBeUndefined();
});

test('finds none in what is no JSON', () => {
  expect(foreignErrorOf({ ...answered(403, {}), body: Buffer.from('<html>') })).toBeUndefined();
});

test.each(['M_X', 'ORG.EXAMPLE_x', 'm', `M${'x'.repeat(127)}`])('passes the errcode %s on', (errcode) => {
  expect(passedOn({ ...WORDS, errcode })?.errcode).toBe(errcode);
});

test.each(['', '_M', '7', 'M X', 'M_X\n', ' M_X', 'M-X', `M${'x'.repeat(128)}`])(
  'passes M_UNKNOWN on in place of %j',
  (errcode) => {
    expect(passedOn({ ...WORDS, errcode })?.errcode).toBe('M_UNKNOWN');
  },
);

test('passes 500 characters of a text on, none of them half of one', () => {
  expect(passedOn({ ...WORDS, error: 'x'.repeat(501) })?.error).toBe('x'.repeat(500));
  expect(passedOn({ ...WORDS, error: `${'x'.repeat(499)}😀` })?.error).toBe(`${'x'.repeat(499)}\ufffd`);
});

test.each(['0', '7', '123456789', 'Wed, 21 Oct 2015 07:28:00 GMT'])('passes Retry-After on where it is %s', (value) => {
  expect(passedOn(WORDS, { 'retry-after': value })?.retryAfter).toBe(value);
});

test.each([
  '',
  '1.5',
  '-1',
  '7 ',
  ' 7',
  '1234567890',
  'soon',
  'Wed, 21 Oct 2015 07:28:00 GMT+1',
  ' Wed, 21 Oct 2015 07:28:00 GMT',
  'W, 21 Oct 2015 07:28:00 GMT',
  'wed, 21 Oct 2015 07:28:00 GMT',
  'Wed, 2 Oct 2015 07:28:00 GMT',
  'Wed, ab Oct 2015 07:28:00 GMT',
  'Wed, 21 oct 2015 07:28:00 GMT',
  'Wed, 21 O 2015 07:28:00 GMT',
  'Wed, 21 Oct 15 07:28:00 GMT',
  'Wed, 21 Oct abcd 07:28:00 GMT',
  'Wed, 21 Oct 2015 7:28:00 GMT',
  'Wed, 21 Oct 2015 ab:28:00 GMT',
  'Wed, 21 Oct 2015 07:2:00 GMT',
  'Wed, 21 Oct 2015 07:ab:00 GMT',
  'Wed, 21 Oct 2015 07:28:0 GMT',
  'Wed, 21 Oct 2015 07:28:ab GMT',
  ['7', '8'],
])('does not pass Retry-After on where it is %j', (value) => {
  expect(passedOn(WORDS, { 'retry-after': value })?.retryAfter).toBeUndefined();
});
