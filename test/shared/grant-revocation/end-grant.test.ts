import { describe, expect, test, vi } from 'vitest';
import {
  EndGrantEnvironment,
  findGrantEnding,
  grantEndingsOf,
  mayEndNewer,
} from '#shared/grant-revocation/end-grant.ts';
import { fillTemplate } from '#shared/grant-revocation/url-template.ts';
import { readEnvironment } from '#shared/runtime/environment.ts';
import { endingOf } from '#test/support/ending-of.ts';

const HTTP = {
  ...{ issuer: 'https://as.example', preset: 'http', method: 'DELETE', url: 'https://as.example/grants/{grant}' },
  ...{ success: [204], reaches: 'grant' },
};
const RFC7009 = {
  ...{ issuer: 'https://other.example', preset: 'rfc7009', endpoint: 'https://other.example/revoke' },
  ...{ client_id: 'c', client_secret: 's' },
};
const UPSTREAM = { endpoint: 'https://up.example/revoke', client_id: 'c', client_secret: 's' };

/** Reads the setting as a function does at its start. */
function read(rows: unknown) {
  const parse = EndGrantEnvironment.END_GRANT.safeParse(JSON.stringify(rows));
  return parse.success ? parse.data : undefined;
}

describe('a URL with placeholders', () => {
  const fill = (value: string | undefined) => fillTemplate('https://as.example/a/{grant}?by={grant}', { grant: value });

  test.each([
    ['plain', 'plain'],
    ['a/b?c#d&e=f', 'a%2Fb%3Fc%23d%26e%3Df'],
    ["!'()*", '%21%27%28%29%2A'],
    ['%2e%2e', '%252e%252e'],
    ['auth0|1', 'auth0%7C1'],
    ['\r\nHost: x', '%0D%0AHost%3A%20x'],
    ['ж', '%D0%B6'],
    ['...', '...'],
    ['{grant}$&', '%7Bgrant%7D%24%26'],
  ])('takes %j as data', (value, encoded) => {
    const filled = `https://as.example/a/${encoded}?by=${encoded}`;
    expect(fill(value)).toEqual({ url: filled });
    expect(new URL(filled).href).toBe(filled);
  });

  test.each(['.', '..', '../users/ann', 'a/../../b', 'a\\..\\b', '\ud800'])('takes no %j', (value) => {
    expect(fill(value)).toEqual({ fault: '{grant} of the token cannot be in a URL' });
  });

  test.each([undefined, ''])('stays unused where the token says %j', (value) => {
    expect(fill(value)).toEqual({ fault: 'the token has no {grant}' });
  });

  test('takes each value to its own place', () => {
    const values = { subject: 's', client: 'c', grant: 'g', jti: 'j' };
    expect(fillTemplate('https://as.example/{jti}{grant}/{client}?u={subject}', values)).toEqual({
      url: 'https://as.example/jg/c?u=s',
    });
  });
});

describe('END_GRANT', () => {
  test.each<[string, object[]]>([
    ['of both presets', [HTTP, RFC7009]],
    ['with a URL of its own query', [{ ...HTTP, url: 'https://as.example:8443/x?user={subject}&client={client}' }]],
    ['at this machine', [{ ...HTTP, url: 'http://127.0.0.1:1/{jti}', method: 'POST' }]],
    [
      'with all members',
      [
        { ...HTTP, authorization: 'SSWS a b', user_claim: 'ext.uid' },
        { ...RFC7009, reaches: 'grant' },
      ],
    ],
  ])('takes rows %s', (_title, rows) => {
    expect(read(rows)).toEqual(rows);
  });

  const ofUrl = (url: string) => [{ ...HTTP, url }];

  test.each<[string, unknown]>([
    ['no row', []],
    ['two rows of one issuer', [HTTP, { ...RFC7009, issuer: HTTP.issuer }]],
    ['another preset', [{ ...HTTP, preset: 'casdoor' }]],
    ['the members of another preset', [{ ...HTTP, preset: 'keycloak' }]],
    ['two credentials', [{ ...HTTP, authorization: { client_id: 'c', client_secret: 's', access_key_id: 'a' } }]],
    ['a member that is not known', [{ ...HTTP, retries: 3 }]],
    ['no word on what ends', [{ ...HTTP, reaches: undefined }]],
    ['no status of success', [{ ...HTTP, success: [] }]],
    ['a success that is none', [{ ...HTTP, success: [404] }]],
    ['a method that ends nothing', [{ ...HTTP, method: 'GET' }]],
    ['a header in the credential', [{ ...HTTP, authorization: 'a\r\nHost: x' }]],
    ['http', ofUrl('http://as.example/{grant}')],
    ['a host that the token names', ofUrl('https://{grant}.example/{grant}')],
    ['a host that the token names after a backslash', ofUrl('https://as.example\\{grant}/{grant}')],
    ['a port that the token names', ofUrl('https://as.example:{grant}/{grant}')],
    ['a placeholder that is not known', ofUrl('https://as.example/{grant}/{realm}')],
    ['a brace that is left', ofUrl('https://as.example/{grant}/{')],
    ['a URL that ends the same for all users', ofUrl('https://as.example/grants')],
    ['a URL that ends all of a client', ofUrl('https://as.example/clients/{client}/grants')],
    ['dots as a step up', ofUrl('https://as.example/a/../{grant}')],
    ['dots as a step up, encoded', ofUrl('https://as.example/a/%2E%2e/{grant}')],
    ['a fragment', ofUrl('https://as.example/#{grant}')],
  ])('takes no row with %s', (_title, rows) => {
    expect(read(rows)).toBeUndefined();
  });

  test('is refused by a sentence that says what it must be and nothing of the text', () => {
    vi.stubEnv('END_GRANT', '[{"authorization":"obviously-fake"}]');
    expect(() => readEnvironment(EndGrantEnvironment)).toThrow(/^END_GRANT must be JSON: a list of [^\n]+$/);
    expect(() => readEnvironment(EndGrantEnvironment)).not.toThrow(/obviously-fake/);
  });
});

describe('how a grant is ended', () => {
  const rows = read([HTTP, RFC7009]);

  test('is what the row of its issuer says, and else REVOKE_UPSTREAM', () => {
    const endings = grantEndingsOf({ END_GRANT: rows, REVOKE_UPSTREAM: UPSTREAM });
    const fallback = { preset: 'rfc7009', ...UPSTREAM };

    expect(findGrantEnding(endings, HTTP.issuer)).toMatchObject({ preset: 'http', base: HTTP.url, reaches: 'grant' });
    expect(findGrantEnding(endings, RFC7009.issuer)).toEqual(RFC7009);
    expect(findGrantEnding(endings, 'https://third.example')).toEqual(fallback);
    expect(findGrantEnding(endings, undefined)).toEqual(fallback);
  });

  test('is not known of an issuer that has no row, without REVOKE_UPSTREAM', () => {
    const endings = grantEndingsOf({ END_GRANT: rows });

    expect(findGrantEnding(endings, 'https://third.example')).toBeUndefined();
    expect(findGrantEnding(endings, undefined)).toBeUndefined();
    expect(grantEndingsOf({})).toEqual([]);
  });

  test.each([
    ['https://as.example/{grant}', false],
    ['https://as.example/{subject}/{jti}', false],
    ['https://as.example/{subject}/{client}', true],
  ])('by %s late ends what is newer: %j', (url, expected) => {
    expect(mayEndNewer(endingOf({ ...HTTP, url }), {})).toBe(expected);
    expect(mayEndNewer(endingOf(RFC7009), {})).toBe(false);
  });
});
