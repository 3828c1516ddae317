import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  type ApiEnding,
  EndGrantEnvironment,
  faultOfEnding,
  findGrantEnding,
  grantEndingsOf,
  mayEndNewer,
} from '#shared/grant-revocation/end-grant.ts';
import { fillTemplate } from '#shared/grant-revocation/url-template.ts';
import { readEnvironment } from '#shared/runtime/environment.ts';
import { apiEndingOf, endingOf } from '#test/support/ending-of.ts';
import { makeCertificate } from '#test/support/private-server.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const HTTP = {
  ...{ issuer: 'https://as.example', preset: 'http', method: 'DELETE', url: 'https://as.example/grants/{grant}' },
  ...{ success: [204], reaches: 'grant' },
};
const RFC7009 = {
  ...{ issuer: 'https://other.example', preset: 'rfc7009', endpoint: 'https://other.example/revoke' },
  ...{ client_id: 'c', client_secret: 's' },
};
const OKTA = { issuer: 'https://org.example', preset: 'okta', authorization: 'SSWS obviously-fake' };
const CLIENT = { client_id: 'c', client_secret: 's' };
const KEY = { access_key_id: 'a', secret_access_key: 's' };
const POOL = 'https://cognito-idp.eu-north-1.amazonaws.com/eu-north-1_pool';
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
    ['a base that the token names', [{ ...OKTA, api: 'https://{subject}.example' }]],
    ['a base with a query', [{ ...OKTA, api: 'https://as.example?a=b' }]],
    ['a base by http', [{ ...OKTA, api: 'http://as.example' }]],
    ['another reach of a preset', [{ ...OKTA, reaches: 'grant' }]],
    ['a token endpoint by http', [{ ...HTTP, authorization: { ...CLIENT, token_endpoint: 'http://as.example/t' } }]],
    ['another way to authenticate', [{ ...HTTP, authorization: { ...CLIENT, auth_method: 'none' } }]],
    ['a credential that is empty', [{ ...HTTP, authorization: '' }]],
    ['half of an access key', [{ ...HTTP, authorization: { access_key_id: 'a' } }]],
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

/** The least that a row of each preset says beside its issuer. */
const LEAST = {
  keycloak: { authorization: CLIENT },
  auth0: { authorization: CLIENT },
  okta: { authorization: 'SSWS obviously-fake' },
  hydra: { api: 'https://admin.example' },
  fusionauth: { authorization: 'obviously-fake', api: 'https://fa.example' },
  authentik: { authorization: 'Bearer obviously-fake' },
  logto: { authorization: CLIENT },
  cognito: { authorization: KEY, reaches: 'all_clients' },
  entra: { authorization: CLIENT, reaches: 'all_clients' },
};
type Preset = keyof typeof LEAST;
const ISSUERS: Readonly<Record<Preset, string>> = {
  ...{ keycloak: 'https://kc.example/realms/home', auth0: 'https://tenant.example/', okta: 'https://org.example' },
  ...{ hydra: 'https://hydra.example', fusionauth: 'home', logto: 'https://tenant.example/oidc', cognito: POOL },
  ...{ authentik: 'https://ak.example/application/o/home/', entra: 'https://login.microsoftonline.com/tenant/v2.0' },
};

/** A row of the preset. @param more What it says beside the least. */
function presetRow(preset: Preset, more: object = {}) {
  return { issuer: ISSUERS[preset], preset, ...LEAST[preset], ...more };
}

/** Where our client gets its token, and how it asks. */
function tokenOf({ credential }: ApiEnding) {
  if (credential.kind !== 'client') return undefined;
  const { endpoint, authMethod, fields } = credential;
  return [endpoint, authMethod, fields];
}

describe('a row of a preset', () => {
  test.each<[Preset, string, string]>([
    ['keycloak', 'https://kc.example/realms/home', 'https://kc.example/admin/realms/home'],
    ['keycloak', 'https://kc.example/auth/realms/a%20b', 'https://kc.example/auth/admin/realms/a%20b'],
    ['keycloak', 'https://kc.example/realms/realms/realms/x', 'https://kc.example/realms/realms/admin/realms/x'],
    ['auth0', 'https://tenant.example/', 'https://tenant.example/api/v2'],
    ['auth0', 'https://tenant.example', 'https://tenant.example/api/v2'],
    ['okta', 'https://org.example', 'https://org.example/api/v1'],
    ['okta', 'https://org.example/oauth2/default', 'https://org.example/api/v1'],
    ['authentik', 'https://ak.example/application/o/home/', 'https://ak.example/api/v3'],
    ['authentik', 'https://ak.example/x/application/o/home', 'https://ak.example/x/api/v3'],
    ['logto', 'https://tenant.example/oidc', 'https://tenant.example/api'],
    ['cognito', POOL, 'https://cognito-idp.eu-north-1.amazonaws.com'],
    [
      ...(['cognito', 'https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_A1'] as const),
      'https://cognito-idp.cn-north-1.amazonaws.com.cn',
    ],
    ['entra', 'https://sts.windows.net/tenant/', 'https://graph.microsoft.com/v1.0'],
  ])('of %s finds the API of %s', (preset, issuer, base) => {
    expect(endingOf(presetRow(preset, { issuer }))).toMatchObject({ issuer, base });
    expect(endingOf(presetRow(preset, { issuer, api: 'https://api.example/x//' }))).toMatchObject({
      base: 'https://api.example/x',
    });
  });

  test.each<[Preset, string]>([
    ['keycloak', 'https://kc.example/home'],
    ['keycloak', 'https://kc.example/realms/home/'],
    ['authentik', 'https://ak.example/'],
    ['logto', 'https://tenant.example/'],
    ['hydra', 'https://hydra.example'],
    ['fusionauth', 'https://fa.example'],
  ])('of %s must say where the API of %s is', (preset, issuer) => {
    expect(() => endingOf(presetRow(preset, { issuer, api: undefined }))).toThrow(
      'END_GRANT[0]: "api" must be given: it does not follow from the issuer',
    );
    expect(endingOf(presetRow(preset, { issuer, api: 'https://api.example' }))).toMatchObject({
      base: 'https://api.example',
    });
  });

  const basic = 'client_secret_basic';
  const post = 'client_secret_post';
  test.each<[Preset, string, unknown]>([
    ['keycloak', ISSUERS.keycloak, [`${ISSUERS.keycloak}/protocol/openid-connect/token`, basic, {}]],
    [
      ...(['auth0', 'https://tenant.example'] as const),
      ['https://tenant.example/oauth/token', post, { audience: 'https://tenant.example/api/v2/' }],
    ],
    [
      ...(['logto', ISSUERS.logto] as const),
      [`${ISSUERS.logto}/token`, basic, { resource: 'https://tenant.example/api', scope: 'all' }],
    ],
    ...['https://login.microsoftonline.com/tenant/v2.0', 'https://sts.windows.net/tenant/'].map(
      (issuer): [Preset, string, unknown] => [
        ...(['entra', issuer] as const),
        [
          ...['https://login.microsoftonline.com/tenant/oauth2/v2.0/token', post],
          { scope: 'https://graph.microsoft.com/.default' },
        ],
      ],
    ),
    ['hydra', ISSUERS.hydra, undefined],
    ['okta', ISSUERS.okta, undefined],
  ])('of %s finds the token endpoint of %s', (preset, issuer, token) => {
    expect(tokenOf(apiEndingOf(presetRow(preset, { issuer })))).toEqual(token);
  });

  test('says where its own token endpoint is, how to authenticate there, and what for', () => {
    const own = { token_endpoint: 'https://t.example', auth_method: post, audience: 'a', resource: 'r', scope: 's' };

    const logto = apiEndingOf(presetRow('logto', { authorization: { ...CLIENT, ...own } }));
    const auth0 = apiEndingOf(presetRow('auth0', { authorization: { ...CLIENT, auth_method: basic } }));

    expect(tokenOf(logto)).toEqual(['https://t.example', post, { audience: 'a', resource: 'r', scope: 's' }]);
    expect(tokenOf(auth0)).toEqual([
      ...['https://tenant.example/oauth/token', basic],
      { audience: 'https://tenant.example/api/v2/' },
    ]);
  });

  test.each<[Preset, string | undefined, string]>([
    ['keycloak', undefined, 'grant'],
    ['auth0', undefined, 'grant'],
    ['okta', 'uid', 'grant'],
    ['hydra', undefined, 'grant'],
    ['fusionauth', undefined, 'grant'],
    ['authentik', undefined, 'grant'],
    ['logto', undefined, 'grant'],
    ['cognito', 'username', 'all_clients'],
    ['entra', 'oid', 'all_clients'],
  ])('of %s names the user by %j, and reaches %s', (preset, userClaim, reaches) => {
    const ending = apiEndingOf(presetRow(preset));

    expect([ending.userClaim, ending.reaches]).toEqual([userClaim, reaches]);
    expect(apiEndingOf(presetRow(preset, { user_claim: 'ext.id' })).userClaim).toBe('ext.id');
  });

  const header = 'the value of the header';
  const client = '{"client_id", "client_secret"}, with "token_endpoint" where that does not follow from the issuer';
  const key = '{"access_key_id", "secret_access_key"}';
  test.each<[Preset, object[], string]>([
    ['keycloak', [{ authorization: undefined }, { authorization: 'Bearer x' }, { authorization: KEY }], client],
    ['auth0', [{ authorization: undefined }, { authorization: 'Bearer x' }], client],
    ['okta', [{ authorization: undefined }, { authorization: CLIENT }], header],
    [
      'hydra',
      // Nothing says where its token would come from.
      [{ authorization: CLIENT }, { authorization: KEY }],
      `left out, or ${header}, or ${client}`,
    ],
    ['fusionauth', [{ authorization: undefined }, { authorization: CLIENT }], header],
    ['authentik', [{ authorization: undefined }, { authorization: CLIENT }], header],
    ['logto', [{ authorization: undefined }, { authorization: 'Bearer x' }], client],
    ['cognito', [{ authorization: undefined }, { authorization: 'AWS4 x' }, { authorization: CLIENT }], key],
    ['entra', [{ authorization: undefined }, { authorization: 'Bearer x' }, { authorization: KEY }], client],
  ])('of %s is refused with another credential, by a sentence that says which it takes', (preset, others, form) => {
    for (const other of others) {
      expect(() => endingOf(presetRow(preset, other))).toThrow(`END_GRANT[0]: "authorization" must be ${form}`);
    }
  });

  test('of Hydra takes none, a header, and a client that says where its token comes from', () => {
    const kindOf = (authorization: unknown) => apiEndingOf(presetRow('hydra', { authorization })).credential.kind;

    expect(kindOf(undefined)).toBe('none');
    expect(kindOf('Bearer x')).toBe('header');
    expect(kindOf({ ...CLIENT, token_endpoint: 'https://t.example' })).toBe('client');
  });

  test.each<Preset>(['auth0', 'okta', 'hydra', 'fusionauth', 'authentik', 'logto'])(
    'of %s, which ends no more than the grant, allows no more',
    (preset) => {
      expect(() => endingOf(presetRow(preset, { reaches: 'all_clients' }))).toThrow(
        `END_GRANT[0]: "reaches": "all_clients" is not for preset ${preset}`,
      );
    },
  );

  test.each<Preset>(['cognito', 'entra'])('of %s must allow that it reaches all clients', (preset) => {
    expect(() => endingOf(presetRow(preset, { reaches: undefined }))).toThrow(
      `END_GRANT[0]: "reaches": "all_clients" must be given with preset ${preset}`,
    );
  });

  test('of Keycloak may allow it', () => {
    expect(endingOf(presetRow('keycloak', { reaches: 'all_clients' }))).toMatchObject({ reaches: 'all_clients' });
  });

  test('is named by its place in the list', () => {
    const rows = read([HTTP, RFC7009, presetRow('okta', { authorization: undefined })]);

    expect(() => grantEndingsOf({ END_GRANT: rows })).toThrow(/^END_GRANT\[2\]: "authorization" must be /);
  });

  const OF_TOKEN = { token: 't', subject: 'ann', client: 'c', jti: 'j' };
  test.each<[Preset, object, string | undefined]>([
    ['keycloak', {}, undefined],
    ['keycloak', { subject: undefined }, 'the token has no {subject}'],
    ['keycloak', { client: undefined }, 'the token has no {client}'],
    ['keycloak', { client: '..' }, '{client} of the token cannot be in a URL'],
    ['auth0', { client: undefined }, 'the token has no {client}'],
    ['okta', {}, 'the token has no {subject}'],
    ['okta', { user: { claim: 'oid', value: 'u' } }, 'the token has no {subject}'],
    ['okta', { user: { claim: 'uid', value: '' } }, 'the token has no {subject}'],
    ['okta', { user: { claim: 'uid', value: '../x' } }, '{subject} of the token cannot be in a URL'],
    ['okta', { user: { claim: 'uid', value: 'u' }, subject: undefined }, undefined],
    ['hydra', {}, undefined],
    // The list is of all clients, and without a client nothing of it would be meant.
    ['hydra', { client: undefined }, 'the token has no {client}'],
    ['hydra', { grant: 'g', client: undefined, subject: undefined }, undefined],
    ['hydra', { grant: '..' }, '{grant} of the token cannot be in a URL'],
    ['fusionauth', { client: undefined }, 'the token has no {client}'],
    ['authentik', { client: undefined }, 'the token has no {client}'],
    ['logto', { client: undefined }, 'the token has no {client}'],
    ['cognito', {}, 'the token has no {subject}'],
    ['cognito', { user: { claim: 'username', value: 'u' }, client: undefined }, undefined],
    ['entra', {}, 'the token has no {subject}'],
    ['entra', { user: { claim: 'oid', value: 'u' }, client: undefined }, undefined],
  ])('of %s and a token with %j: the fault is %j', (preset, more, fault) => {
    expect(faultOfEnding(endingOf(presetRow(preset)), { ...OF_TOKEN, ...more })).toBe(fault);
  });

  test('of another preset takes what its URL needs, and RFC 7009 takes any token', () => {
    expect(faultOfEnding(endingOf(HTTP), OF_TOKEN)).toBe('the token has no {grant}');
    expect(faultOfEnding(endingOf(HTTP), { token: 't', grant: 'g' })).toBeUndefined();
    expect(faultOfEnding(endingOf(RFC7009), { token: 't' })).toBeUndefined();
  });

  test.each<[Preset, boolean, boolean]>([
    ['keycloak', true, true],
    ['auth0', true, true],
    ['okta', false, false],
    ['hydra', true, false],
    ['fusionauth', false, false],
    ['authentik', true, true],
    ['logto', true, true],
    ['cognito', true, true],
    ['entra', true, true],
  ])('of %s may end newer links: %j, and with the name of the grant: %j', (preset, without, withGrant) => {
    const ending = endingOf(presetRow(preset));

    expect([mayEndNewer(ending, {}), mayEndNewer(ending, { grant: 'g' })]).toEqual([without, withGrant]);
  });
});

describe('the file of an authority', () => {
  test('is read, whichever the preset', () => {
    const folder = createTemporaryFolder();
    onTestFinished(() => folder.remove());
    makeCertificate(folder.path);
    const ca_file = join(folder.path, 'certificate.pem');
    const certificates = readFileSync(ca_file, 'utf8');

    for (const row of [HTTP, RFC7009, presetRow('keycloak')]) {
      expect(endingOf({ ...row, ca_file })).toMatchObject({ certificates });
      expect(endingOf(row).certificates).toBeUndefined();
    }
  });

  test.each([HTTP, RFC7009, OKTA])('is refused where it is none, by a sentence that names it (%j)', (row) => {
    const folder = createTemporaryFolder();
    onTestFinished(() => folder.remove());
    const ca_file = join(folder.path, 'ca.pem');

    expect(() => endingOf({ ...row, ca_file })).toThrow(/^END_GRANT\[0\]\.ca_file must be a file that can be read$/);
    for (const text of ['', 'obviously fake', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----']) {
      writeFileSync(ca_file, text);
      expect(() => endingOf({ ...row, ca_file })).toThrow(
        /^the file of END_GRANT\[0\]\.ca_file must be certificates in PEM$/,
      );
    }
  });
});
