import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { LOGGER_VARIABLES } from '#shared/runtime/environment.ts';
import { idOf, reachabilityFaults } from './reachability.ts';
import { type JsonObject, parseRows, type Row, readInfraFile, readOpenApi, readRows } from './terraform-files.ts';

describe('functions.yaml and openapi.yaml', () => {
  test('each function is named by a gateway operation, an authorizer or a timer, and none of a timer only is public', async () => {
    expect(reachabilityFaults(await readRows(), await readOpenApi())).toEqual([]);
  });

  test('each function belongs to a profile, and no profile is more than a cloud has a quota for', async () => {
    const rows = Object.entries(await readRows());
    const sizes = Map.groupBy(
      rows.flatMap(([, { profiles = [] }]) => profiles),
      (profile) => profile,
    );

    expect(rows.filter(([, { profiles = [] }]) => profiles.length === 0).map(([name]) => name)).toEqual([]);
    expect([...sizes.keys()].sort()).toEqual(['identity', 'matrix', 'shop', 'smart-home']);
    expect([...sizes.values()].filter((functions) => functions.length > 10)).toEqual([]);
  });

  test('each placeholder of openapi.yaml is a variable of the template', async () => {
    const rows = await readRows();
    const names = [...(await readInfraFile('openapi.yaml')).matchAll(/[$%]\{([^}]*)\}/g)].map(([, name]) => name);

    const known = [...Object.keys(rows).map((name) => `functions.${name}`), 'gateway_service_account'];

    expect(names.filter((name) => !known.includes(name ?? ''))).toEqual([]);
    expect(names).toContain('gateway_service_account');
  });

  test.each(['functions.yaml', 'openapi.yaml'])(
    '%s means the same to Terraform, which reads YAML 1.1',
    async (name) => {
      const text = await readInfraFile(name);

      // There an unquoted on, off, yes or no is a boolean.
      expect(parseYaml(text, { version: '1.1' })).toEqual(parseYaml(text, { merge: true }));
    },
  );

  test('no name is both a plain variable and a secret', async () => {
    const rows = Object.values(await readRows());
    const secrets = new Set(rows.flatMap((row) => row.secrets ?? []));

    const plain = rows.flatMap((row) => [...(row.variables ?? []), ...Object.keys(row.environment ?? {})]);

    expect(plain.filter((name) => secrets.has(name))).toEqual([]);
    expect(plain.filter((name) => /PEPPER|PASSWORD|SECRET|PRIVATE|_KEYS/.test(name))).toEqual([]);
  });

  test('no name that only the emulator has a value for is needed in a deployment', async () => {
    const rows = Object.values(await readRows());
    const needed = new Set(rows.flatMap(({ secrets = [] }) => secrets));

    const ofTheEmulator = rows.flatMap(({ local = {} }) => Object.keys(local));

    expect(ofTheEmulator).toContain('DEV_1_CLIENT_SECRET');
    expect(ofTheEmulator.filter((name) => needed.has(name))).toEqual([]);
  });
});

describe('the rules for who names a function', () => {
  const spec: JsonObject = {
    paths: {
      '/unlink': {
        post: { operationId: 'unlink.again', 'x-yc-apigateway-integration': { function_id: idOf('unlink') } },
      },
    },
    components: {
      securitySchemes: { token: { 'x-yc-apigateway-authorizer': { function_id: idOf('authorize') } } },
    },
  };
  const called = 'functions: { unlink: { public: true }, authorize: {} }';

  test('an operation, an authorizer and a timer each name one', () => {
    const rows = parseRows(`${called.slice(0, -1)}, maintenance: { timer: { cron: '* * * * ? *' } } }`);

    expect(reachabilityFaults(rows, spec)).toEqual([]);
  });

  test('a function that nothing names is found', () => {
    const rows = parseRows(`${called.slice(0, -1)}, orphan: {} }`);

    expect(reachabilityFaults(rows, spec)).toEqual(['orphan: no gateway operation, authorizer or timer names it']);
  });

  test('a public function of a timer only is found', () => {
    const rows = parseRows(`${called.slice(0, -1)}, maintenance: { public: true, timer: { cron: '* * * * ? *' } } }`);

    expect(reachabilityFaults(rows, spec)).toEqual(['maintenance: called by its timer only, and yet public']);
  });

  test('a function of a timer that the gateway names too is found', () => {
    const rows = parseRows("functions: { unlink: {}, authorize: { timer: { cron: '* * * * ? *' } } }");

    expect(reachabilityFaults(rows, spec)).toEqual(['authorize: called by its timer, and yet named by the gateway']);
  });

  test('an operation named after one function that calls another is found', () => {
    const paths: JsonObject = { '/unlink': { post: { operationId: 'authorize', integration: idOf('unlink') } } };

    expect(reachabilityFaults(parseRows(called), { ...spec, paths })).toEqual([
      'authorize: the operation calls unlink',
    ]);
  });

  test('a function that only the gateway knows is found', () => {
    expect(reachabilityFaults(parseRows('functions: { unlink: {} }'), spec)).toEqual([
      'authorize: named by the gateway, but no row of functions.yaml',
    ]);
  });
});

/**
 * The most bytes that a value is expected to take. A name that is not here counts as 256, which holds any id, number, list
 * of scopes or URL without options; a function that comes near the limit needs its names listed with what they really take.
 */
const largest: Record<string, number> = {
  STORE_URL: 320, // also a PostgreSQL URL with a list of three hosts and a certificate's path
  DIRECTORY_URL: 320,
  MAX_TOKEN_LIFETIME_S: 10,
  ISSUERS: 768, // two issuers, one with a client for introspection
  ISSUER: 64,
  GRANT_CLAIM: 32,
  SCOPE_NAMES: 192, // four of a name for a name
  CLIENTS: 1024, // six of an id, a hash and two scopes
  REVOKE_UPSTREAM: 512,
  END_GRANT: 512, // one of an issuer, a URL and an API's credential
  UNVERIFIED_TOKENS: 1,
  LINK_BY_SID: 6,
  PROTECT_LAST_LINK: 5,
  PROVIDERS: 688, // two that revoke, two that do not, and two secrets that they name; providers.json may hold more
  TOKEN_PEPPERS: 160, // three, which is the most, of a short key id and 32 bytes in base64
  ENCRYPTION_KEYS: 160, // the same
  NETWORK_CLAIM: 32,
  SHOP_ORIGINS: 128, // four
  PUBLIC_BASE_URL: 64,
  CONTEXT_PREFIX: 32,
  BIND_CONFIRMATION: 6,
  SIGN_IN_CLIENT: 96, // an id and a secret
};

const mostBytes = (row: Row): number => {
  const fixed = Object.entries(row.environment ?? {}).map(([name, value]) => Buffer.byteLength(`${name}${value}`));
  const given = [...(row.variables ?? []), ...(row.secrets ?? [])].map((name) => name.length + (largest[name] ?? 256));
  return [...fixed, ...given].reduce((sum, bytes) => sum + bytes, 0);
};

describe('the environment of a function', () => {
  test('takes at most 4 KB with the largest expected values, names and secrets included', async () => {
    const tooMuch = Object.entries(await readRows()).filter(([, row]) => mostBytes(row) > 4096);

    expect(tooMuch.map(([name, row]) => `${name}: ${mostBytes(row)} bytes`)).toEqual([]);
  });

  // Terraform refuses a name that no row lists: what changes the log lines must not be listed.
  test('has none of the variables that would change the log lines', async () => {
    const names = Object.values(await readRows()).flatMap(({ environment = {}, variables = [], secrets = [] }) => [
      ...[...Object.keys(environment), ...variables, ...secrets],
    ]);

    expect(names.filter((name) => LOGGER_VARIABLES.includes(name))).toEqual([]);
    expect(LOGGER_VARIABLES).toContain('POWERTOOLS_DEV');
  });

  test('counts names, fixed values, given values and secrets', () => {
    const row = parseRows(
      'functions: { f: { environment: { A: 1234 }, variables: [BC], secrets: [TOKEN_PEPPERS] } }',
    ).f;

    expect(mostBytes(row ?? {})).toBe(5 + (2 + 256) + (13 + 160));
  });
});
