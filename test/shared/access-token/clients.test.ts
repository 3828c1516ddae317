import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { authenticateClient, Clients } from '#shared/access-token/clients.ts';
import { basic } from '#test/support/test-issuer.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ROW = { id: 'skill', secret_sha256: sha256('skill-secret') };

describe('the setting', () => {
  test('has no scopes and no callbacks where a row names none', () => {
    expect(Clients.parse(JSON.stringify([ROW]))).toEqual([{ ...ROW, scopes: [], callbacks: [] }]);
  });

  test('has all that a row names', () => {
    const row = {
      ...{ ...ROW, secret_sha256: [sha256('a'), sha256('b')] },
      ...{ scopes: ['introspect'], callbacks: ['https://a'], title: 'x'.repeat(64) },
    };

    expect(Clients.parse(JSON.stringify([row, { ...row, id: 'x'.repeat(255) }]))).toEqual([
      row,
      { ...row, id: 'x'.repeat(255) },
    ]);
  });

  test.each<[string, unknown]>([
    ['no list', ROW],
    ['an empty id', [{ ...ROW, id: '' }]],
    ['an id of 256 characters', [{ ...ROW, id: 'x'.repeat(256) }]],
    ['a hash that is too short', [{ ...ROW, secret_sha256: 'a'.repeat(63) }]],
    ['a hash that is too long', [{ ...ROW, secret_sha256: 'a'.repeat(65) }]],
    ['a hash with a prefix', [{ ...ROW, secret_sha256: `x${'a'.repeat(64)}` }]],
    ['a hash in capitals', [{ ...ROW, secret_sha256: 'A'.repeat(64) }]],
    ['no hash', [{ ...ROW, secret_sha256: [] }]],
    ['three hashes', [{ ...ROW, secret_sha256: ['a', 'b', 'c'].map(sha256) }]],
    ['scopes that are text', [{ ...ROW, scopes: 'introspect' }]],
    ['scopes that are numbers', [{ ...ROW, scopes: [7] }]],
    ['a title that is empty', [{ ...ROW, title: '' }]],
    ['a title of 65 characters', [{ ...ROW, title: 'x'.repeat(65) }]],
    ['callbacks that are numbers', [{ ...ROW, callbacks: [7] }]],
    ['a member that does not exist', [{ ...ROW, secret: 'x' }]],
    ['one id twice', [ROW, ROW]],
  ])('is refused with %s', (_title, rows) => {
    expect(Clients.safeParse(JSON.stringify(rows)).error?.issues).toMatchObject([
      {
        message:
          'must be JSON: a list of {"id", "secret_sha256", "scopes", "callbacks", "title"}, the hash in hexadecimal or a list of two of them, each id once',
      },
    ]);
  });
});

describe('a client', () => {
  const CLIENTS = Clients.parse(
    JSON.stringify([
      ROW,
      { id: 'o&t+her', secret_sha256: [sha256('new'), sha256('p+1%20:x&y')] },
      { id: 'empty', secret_sha256: sha256('') },
      { id: 'short', secret_sha256: sha256('shorty') },
    ]),
  );
  const idOf = (authorization: string | undefined, fields = {}) =>
    authenticateClient(authorization, fields, CLIENTS).id;

  test.each([
    ['by HTTP Basic', basic('skill', 'skill-secret'), {}],
    ['by HTTP Basic in capitals', basic('skill', 'skill-secret').replace('Basic ', 'BASIC  '), {}],
    ['by the fields', undefined, { client_id: 'skill', client_secret: 'skill-secret' }],
    ['by HTTP Basic and its id among the fields', basic('skill', 'skill-secret'), { client_id: 'skill' }],
    ['by HTTP Basic beside a secret without a value', basic('skill', 'skill-secret'), { client_secret: '' }],
    [
      'by HTTP Basic beside two fields without a value',
      basic('skill', 'skill-secret'),
      { client_id: '', client_secret: '' },
    ],
  ])('authenticates %s', (_title, authorization, fields) => {
    expect(idOf(authorization, fields)).toBe('skill');
  });

  test('authenticates by either secret while it is changed', () => {
    expect(idOf(basic('o&t+her', 'new'))).toBe('o&t+her');
    expect(idOf(basic('o&t+her', 'p+1%20:x&y'))).toBe('o&t+her');
  });

  test('may have form-encoded its id and secret (RFC 6749, section 2.3.1)', () => {
    expect(idOf(basic('o%26t%2Bher', 'p%2B1%2520%3Ax%26y'))).toBe('o&t+her');
    expect(idOf(basic('o%26t%2Bher', 'p%2B1%2520%3Ax&y'))).toBe('o&t+her'); // all but the & is encoded
  });

  test.each<[string, string | undefined, object]>([
    ['nothing', undefined, {}],
    ['a wrong secret', basic('skill', 'wrong'), {}],
    ['the secret of another', basic('skill', 'new'), {}],
    ['an unknown id', basic('nobody', 'skill-secret'), {}],
    ['an unknown id and the secret that its stand-in has', undefined, { client_id: 'nobody', client_secret: '' }],
    ['an id alone', undefined, { client_id: 'skill' }],
    ['a secret without a value', undefined, { client_id: 'empty', client_secret: '' }],
    ['a secret alone', undefined, { client_secret: 'skill-secret' }],
    ['an id that is a list', undefined, { client_id: ['skill'], client_secret: 'skill-secret' }],
    ['a secret that is a number', undefined, { client_id: 'skill', client_secret: 7 }],
    ['another scheme', basic('skill', 'skill-secret').replace('Basic', 'Bearer'), {}],
    ['no space behind the scheme', basic('skill', 'skill-secret').replace(' ', ''), {}],
    ['something in front of the scheme', ` ${basic('skill', 'skill-secret')}`, {}],
    ['something behind the base64', `${basic('skill', 'skill-secret')} x`, {}],
    ['too much base64', `${basic('skill', 'skill-secret').replace(/=*$/, '')}${'A'.repeat(4097)}`, {}],
    ['no colon', `Basic ${Buffer.from('skill').toString('base64')}`, {}],
    ['no colon, and a secret that begins with the id', `Basic ${Buffer.from('shorty').toString('base64')}`, {}],
    ['no colon and an empty secret', `Basic ${Buffer.from('empty').toString('base64')}`, {}],
  ])('is not known by %s', (_title, authorization, fields) => {
    expect(() => idOf(authorization, fields)).toThrow(
      expect.objectContaining({
        ...{ code: 'invalid_client', message: 'The client is unknown or its credentials are wrong.' },
      }),
    );
  });

  test.each([{ client_secret: 'skill-secret' }, { client_id: 'skill', client_secret: 'skill-secret' }])(
    'does not authenticate twice: by HTTP Basic and by %j',
    (fields) => {
      expect(() => idOf(basic('skill', 'skill-secret'), fields)).toThrow(
        expect.objectContaining({
          ...{ code: 'invalid_request', message: 'The client authenticates in more than one way.' },
        }),
      );
    },
  );
});
