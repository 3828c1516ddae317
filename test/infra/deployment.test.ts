import { beforeAll, describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { idOf } from './reachability.ts';
import {
  isObject,
  type Json,
  type JsonObject,
  parseHcl,
  readInfraFile,
  readOpenApi,
  readRows,
} from './terraform-files.ts';
import { hasTerraform, type Rehearsal, rehearse, unlessTerraform } from './terraform-run.ts';

const secret = (id: string): JsonObject => ({ id, version_id: `${id}-version`, key: 'value' });
const lockbox = {
  TOKEN_PEPPERS: secret('peppers'),
  CLIENTS: secret('clients'),
  ENCRYPTION_KEYS: secret('keys'),
  MATRIX_SIGNING_KEY: secret('signing'),
};
const nothing: JsonObject = { folder_id: 'b1gfolder', secrets: lockbox };
const given: JsonObject = { ...nothing, profiles: ['smart-home', 'matrix', 'shop', 'identity'] };

const functionsYaml = async (rows: JsonObject): Promise<JsonObject> => {
  const document: Json = parseYaml(await readInfraFile('functions.yaml'));
  if (!isObject(document) || !isObject(document.functions)) throw new TypeError('functions.yaml has no functions');
  return { ...document, functions: { ...document.functions, ...rows } };
};

const timer: JsonObject = { cron: '* * * * ? *', retry_attempts: 1, retry_interval: 10 };

type Applied = Extract<Rehearsal, { status: 'applied' }>;

const applied = async (...parameters: Parameters<typeof rehearse>): Promise<Applied> => {
  const rehearsal = await rehearse(...parameters);
  if (rehearsal.status === 'refused') throw new Error(rehearsal.message);
  return rehearsal;
};

const addresses = (deployment: Applied, type: string): string[] =>
  [...deployment.resources.keys()].filter((address) => address.startsWith(`${type}.`));

const account = (deployment: Applied, address: string): string =>
  `serviceAccount:${deployment.ids.get(`yandex_iam_service_account.${address}`)}`;

const invokers = (deployment: Applied, name: string): Json | undefined =>
  deployment.resources.get(`yandex_function_iam_binding.invokers["${name}"]`)?.members;

/** The gateway's spec as deployed. */
const specOf = (deployment: Applied): JsonObject => {
  const spec: Json = JSON.parse(String(deployment.resources.get('yandex_api_gateway.this[0]')?.spec));
  if (!isObject(spec)) throw new TypeError('the spec is not an object');
  return spec;
};

/** `method path` of each operation of a spec. */
const operationsOf = (spec: JsonObject): string[] =>
  Object.entries(isObject(spec.paths) ? spec.paths : {}).flatMap(([path, item]) =>
    Object.keys(isObject(item) ? item : {}).map((method) => `${method} ${path}`),
  );

describe.skipIf(!hasTerraform)(
  `a deployment, rehearsed by terraform without the provider${unlessTerraform}`,
  { timeout: 60_000 },
  () => {
    let whole: Applied;
    beforeAll(async () => {
      whole = await applied({ ...given, environment: { MAX_TOKEN_LIFETIME_S: '3600' } });
    }, 60_000);

    test('a function gets its row with the defaults filled in', () => {
      expect(whole.resources.get('yandex_function.this["token-authorize"]')).toMatchObject({
        name: 'unlink-token-authorize',
        runtime: 'nodejs22',
        entrypoint: 'index.handler',
        memory: 128,
        execution_timeout: '2',
        concurrency: 10,
        content: [{ zip_filename: './../dist/token-authorize.zip' }],
        metadata_options: [{ gce_http_endpoint: 2, aws_v1_http_endpoint: 2 }],
        log_options: [{ log_group_id: whole.ids.get('yandex_logging_group.this'), min_level: 'INFO' }],
        secrets: [
          { environment_variable: 'TOKEN_PEPPERS', id: 'peppers', version_id: 'peppers-version', key: 'value' },
        ],
      });
    });

    test('a function gets the values of its own variables only, and none for a name without a value', () => {
      const environment = (name: string) =>
        Object.keys(whole.resources.get(`yandex_function.this["${name}"]`)?.environment ?? {});

      expect(environment('smart-home-unlink').sort()).toEqual(['MAX_TOKEN_LIFETIME_S', 'STORE_URL']);
      expect(environment('token-authorize')).toEqual(['STORE_URL']);
    });

    test('a function runs as its own account, which reads its own secrets only', async () => {
      const accounts = addresses(whole, 'yandex_function').map(
        (address) => whole.resources.get(address)?.service_account_id,
      );
      const readers = addresses(whole, 'yandex_lockbox_secret_iam_member').map((address) =>
        whole.resources.get(address),
      );

      expect(new Set(accounts).size).toBe(accounts.length);
      expect(readers).toContainEqual({
        secret_id: 'keys',
        role: 'lockbox.payloadViewer',
        member: account(whole, 'function["maintenance"]'),
      });
      const readersOf = (id: string) =>
        readers.filter((reader) => reader?.secret_id === id).map(({ member }: JsonObject = {}) => member);
      const listing = async (name: string) =>
        Object.entries(await readRows()).flatMap(([row, { secrets = [] }]) =>
          secrets.includes(name) ? [account(whole, `function["${row}"]`)] : [],
        );
      expect(new Set(readersOf('peppers'))).toEqual(new Set(await listing('TOKEN_PEPPERS')));
      expect(new Set(readersOf('clients'))).toEqual(new Set(await listing('CLIENTS')));
      expect(new Set(readersOf('keys'))).toEqual(new Set(await listing('ENCRYPTION_KEYS')));
    });

    test('only a public row may be called by anybody, and the gateway calls what its spec names', () => {
      expect(invokers(whole, 'smart-home-unlink')).toEqual(['system:allUsers', account(whole, 'gateway[0]')]);
      expect(invokers(whole, 'token-authorize')).toEqual([account(whole, 'gateway[0]')]);
    });

    test('public_functions lets anybody call the functions that it names, and no other', async () => {
      const deployment = await applied({ ...given, public_functions: ['threepid-bind', 'token-revoke'] });

      const open = Object.keys(await readRows()).filter((name) =>
        JSON.stringify(invokers(deployment, name)).includes('system:allUsers'),
      );
      expect(open.sort()).toEqual(['threepid-bind', 'token-revoke']);
      expect(invokers(deployment, 'token-revoke')).toEqual(['system:allUsers', account(deployment, 'gateway[0]')]);
      expect(invokers(deployment, 'smart-home-unlink')).toEqual([account(deployment, 'gateway[0]')]);
      expect(deployment.outputs).toMatchObject({ public_functions: ['threepid-bind', 'token-revoke'] });
    });

    test('public_functions may name each function that answers callers', async () => {
      const named = Object.keys(await readRows()).filter((name) => !['maintenance', 'token-authorize'].includes(name));

      const deployment = await applied({ ...given, public_functions: named });

      expect(named).toHaveLength(10);
      expect(deployment.outputs).toMatchObject({ public_functions: named.sort() });
    });

    test.each<[string, JsonObject]>([
      ['that is empty lets nobody', { public_functions: [] }],
      ['that is not set lets nobody, where smart-home-unlink is not deployed,', { profiles: ['identity'] }],
    ])('public_functions %s call a function without an IAM token', async (_what, variables) => {
      const deployment = await applied({ ...given, ...variables });

      expect(JSON.stringify([...deployment.resources])).not.toContain('system:allUsers');
      expect(deployment.outputs).toMatchObject({ public_functions: [] });
    });

    test('maintenance may be called by the account of the timers and by nobody else', () => {
      expect(invokers(whole, 'maintenance')).toEqual([account(whole, 'trigger[0]')]);
      expect(account(whole, 'trigger[0]')).not.toBe(account(whole, 'gateway[0]'));
      expect(whole.outputs.public_functions).not.toContain('maintenance');
      expect(whole.resources.get('yandex_api_gateway.this[0]')?.spec).not.toContain(
        whole.ids.get('yandex_function.this["maintenance"]'),
      );
    });

    test.each<[string, JsonObject, JsonObject]>([
      ['public', { public: true }, {}],
      ['named by the gateway', {}, { '/tick': { post: { integration: { function_id: idOf('maintenance') } } } }],
    ])('a timer function that is %s stops the plan', async (_what, changes, paths) => {
      const functions = await functionsYaml({ maintenance: { timer, ...changes } });
      const openapi = { openapi: '3.0.0', paths };

      const rehearsal = await rehearse({ ...nothing, enabled_functions: ['maintenance'] }, { functions, openapi });

      const message = expect.stringContaining('maintenance has a timer: nobody else may call it');
      expect(rehearsal).toMatchObject({ status: 'refused', message });
    });

    test('a timer calls its function, and its failures end in the dead-letter queue', () => {
      const trigger = whole.ids.get('yandex_iam_service_account.trigger[0]');

      expect(addresses(whole, 'yandex_function_trigger')).toHaveLength(1);
      expect(whole.resources.get('yandex_function_trigger.timer["maintenance"]')).toMatchObject({
        timer: [{ cron_expression: '* * * * ? *' }],
        function: [
          {
            id: whole.ids.get('yandex_function.this["maintenance"]'),
            service_account_id: trigger,
            retry_attempts: 1,
            retry_interval: 10,
          },
        ],
        dlq: [{ queue_id: whole.ids.get('yandex_message_queue.dead_letters[0]'), service_account_id: trigger }],
      });
    });

    test('without timers there is no queue, no key and no account for them', async () => {
      const deployment = await applied({ ...nothing, enabled_functions: ['token-authorize'] });

      for (const type of [
        'yandex_message_queue',
        'yandex_function_trigger',
        'yandex_iam_service_account_static_access_key',
      ]) {
        expect(addresses(deployment, type)).toEqual([]);
      }
      expect(addresses(deployment, 'yandex_iam_service_account')).toHaveLength(2);
    });

    test('the gateway gets the whole spec, with ids, when every function is enabled', async () => {
      const spec = specOf(whole);

      expect(operationsOf(spec).sort()).toEqual(operationsOf(await readOpenApi()).sort());
      expect(
        Object.keys(
          isObject(spec.components) && isObject(spec.components.securitySchemes) ? spec.components.securitySchemes : {},
        ),
      ).toEqual(['token']);
      expect(JSON.stringify(spec)).not.toContain('${');
      expect(spec).toMatchObject({
        components: {
          securitySchemes: {
            token: {
              'x-yc-apigateway-authorizer': {
                function_id: whole.ids.get('yandex_function.this["token-authorize"]'),
                service_account_id: whole.ids.get('yandex_iam_service_account.gateway[0]'),
              },
            },
          },
        },
      });
    });

    test('without its authorizer an operation is left out, never left open', async () => {
      const deployment = await applied({ ...nothing, enabled_functions: ['smart-home-unlink'] });

      const spec = specOf(deployment);

      expect(operationsOf(spec).filter((operation) => operation.endsWith(' /whoami'))).toEqual([]);
      expect(operationsOf(spec)).toContain('post /v1.0/user/unlink');
      expect(spec.components).toMatchObject({ securitySchemes: {} });
      expect(JSON.stringify(spec)).not.toContain('x-yc-apigateway-authorizer');
      expect(addresses(deployment, 'yandex_function')).toEqual(['yandex_function.this["smart-home-unlink"]']);
    });

    test('operations of functions that are not enabled are left out', async () => {
      const deployment = await applied({ ...nothing, enabled_functions: ['token-authorize'] });

      expect(operationsOf(specOf(deployment))).toEqual(['get /whoami']);
      expect(invokers(deployment, 'token-authorize')).toEqual([account(deployment, 'gateway[0]')]);
    });

    test('without any operation there is no gateway', async () => {
      const functions = await functionsYaml({ maintenance: { variables: ['STORE_URL'], timer } });

      const deployment = await applied({ folder_id: 'b1gfolder', enabled_functions: ['maintenance'] }, { functions });

      expect(addresses(deployment, 'yandex_api_gateway')).toEqual([]);
      expect(deployment.outputs).toMatchObject({ public_functions: [] });
      expect(Object.keys(deployment.outputs).filter((name) => name.startsWith('gateway'))).toEqual([]);
    });

    test.each([
      ['/idp/blitz', '/idp/blitz/api/v3/users/{subjectId}/fa'],
      ['', '/api/v3/users/{subjectId}/fa'],
    ])('the context prefix "%s" stands in place of /blitz, and of nothing else', async (context_prefix, path) => {
      const deployment = await applied({ ...given, context_prefix });

      const [operations, declared] = [operationsOf(specOf(deployment)), operationsOf(await readOpenApi())];
      expect(operations).toContain(`get ${path}`);
      expect(operations.map((text) => text.replace(` ${context_prefix}/api/`, ' /blitz/api/')).sort()).toEqual(
        declared.sort(),
      );
      expect(deployment.outputs).toMatchObject({ context_prefix });
    });

    describe('the secrets of providers', () => {
      const revoking = (client_secret_env: string): Json => [
        { type: 'vk', name: 'vk_1' },
        {
          type: 'oidc',
          name: 'one',
          revocation: { endpoint: 'https://one.example/', client_id: 'c', client_secret_env },
        },
      ];
      const withSecret = { ...lockbox, ONE_SECRET: secret('one') };
      const holders = (deployment: Applied) =>
        addresses(deployment, 'yandex_function').filter((address) =>
          JSON.stringify(deployment.resources.get(address)?.secrets).includes('"ONE_SECRET"'),
        );
      const expected = [
        ...['external-provider-bind', 'external-provider-delete', 'external-provider-link', 'maintenance'],
        'social-unlink',
      ];

      test.each<[string, JsonObject, Json]>([
        ['providers.json', {}, revoking('ONE_SECRET')],
        ['PROVIDERS, which wins', { PROVIDERS: JSON.stringify(revoking('ONE_SECRET')) }, revoking('OTHER_SECRET')],
      ])('are given, as %s names them, to the functions that read it', async (_where, environment, providers) => {
        const deployment = await applied({ ...given, secrets: withSecret, environment }, { providers });

        expect(holders(deployment)).toEqual(expected.map((name) => `yandex_function.this["${name}"]`));
      });

      test('that Lockbox does not have stop the plan, if a function that needs them is enabled', async () => {
        const providers = revoking('ONE_SECRET');

        const message = expect.stringContaining('need these in Lockbox, named by the variable secrets: ONE_SECRET');
        expect(await rehearse(given, { providers })).toMatchObject({ status: 'refused', message });
        expect(
          await rehearse({ ...nothing, enabled_functions: ['external-provider-list'] }, { providers }),
        ).toMatchObject({ status: 'applied' });
      });
    });

    test.each([
      ['smart-home', ['maintenance', 'smart-home-unlink', 'token-authorize', 'token-introspect', 'token-revoke']],
      ['matrix', ['threepid-bind', 'threepid-unbind']],
      ['shop', ['external-provider-bind', 'external-provider-link', 'maintenance', 'social-unlink']],
      ['identity', [...['bind', 'delete', 'link', 'list'].map((verb) => `external-provider-${verb}`), 'maintenance']],
    ])('the profile %s has the functions of that protocol, and what they need', async (profile, functions) => {
      const deployment = await applied({ ...nothing, profiles: [profile] });

      expect(Object.keys(isObject(deployment.outputs.function_ids) ? deployment.outputs.function_ids : {})).toEqual(
        functions,
      );
    });

    test('profiles share what both have, and enabled_functions adds to them', async () => {
      const deployment = await applied({
        ...nothing,
        profiles: ['shop', 'identity'],
        enabled_functions: ['token-revoke', 'maintenance'],
      });

      expect(addresses(deployment, 'yandex_function')).toHaveLength(7);
      expect(addresses(deployment, 'yandex_function')).toContain('yandex_function.this["token-revoke"]');
    });

    test('functions that use a store are attached to the network, where one is given', async () => {
      const functions = await functionsYaml({ 'token-authorize': { profiles: ['smart-home'] } });

      const deployment = await applied(
        { ...nothing, profiles: ['smart-home'], network_id: 'enpexample0network00' },
        { functions },
      );

      const connectivity = (name: string) => deployment.resources.get(`yandex_function.this["${name}"]`)?.connectivity;
      expect(connectivity('smart-home-unlink')).toEqual([{ network_id: 'enpexample0network00' }]);
      expect(connectivity('token-authorize')).toEqual([]);
      expect(whole.resources.get('yandex_function.this["smart-home-unlink"]')?.connectivity).toEqual([]);
    });

    test('the dashboard charts the functions by their ids, and the gateway and the dead letters where there are any', async () => {
      const dashboard = (deployment: Applied) =>
        JSON.stringify(deployment.resources.get('yandex_monitoring_dashboard.this'));
      const small = await applied({ ...nothing, enabled_functions: ['token-authorize'] });

      for (const [name, id] of Object.entries(isObject(whole.outputs.function_ids) ? whole.outputs.function_ids : {})) {
        expect(dashboard(whole)).toContain(`${id}: ${name}`);
        expect(dashboard(whole)).toMatch(new RegExp(`errors_per_second[^}]*${id}`));
      }
      expect(dashboard(whole)).toContain('api_gateway.requests_count_per_second');
      expect(dashboard(whole)).toContain('queue.messages.stored_count');
      expect(dashboard(small)).toContain('api_gateway.requests_count_per_second');
      expect(dashboard(small)).not.toContain('queue.messages.stored_count');
    });

    test('the example is one that terraform takes', async () => {
      const example = await parseHcl('example.tfvars', await readInfraFile('terraform.tfvars.example'));

      await applied(example);
    });

    test('alternatives, a requirement for all operations, variants and any-method are filtered alike', async () => {
      const call = (name: string): JsonObject => ({
        'x-yc-apigateway-integration': { type: 'cloud_functions', function_id: idOf(name) },
      });
      const dummy: JsonObject = { 'x-yc-apigateway-integration': { type: 'dummy', http_code: 200 } };
      const authorizer = (name: string): JsonObject => ({
        type: 'http',
        'x-yc-apigateway-authorizer': { function_id: idOf(name) },
      });
      const openapi: JsonObject = {
        openapi: '3.0.0',
        security: [{ disabled: [] }],
        paths: {
          '/inherits-disabled': { get: dummy },
          '/open': {
            parameters: [],
            get: { ...dummy, security: [] },
            post: { ...call('smart-home-unlink'), security: [] },
          },
          '/either': { get: { ...dummy, security: [{ disabled: [] }, { enabled: [] }] } },
          '/both': { get: { ...dummy, security: [{ disabled: [], enabled: [] }] } },
          '/undeclared': { get: { ...dummy, security: [{ nowhere: [] }] } },
          '/documented': { get: { ...dummy, security: [{ documented: [] }] } },
          '/documented-beside': { get: { ...dummy, security: [{ documented: [], disabled: [] }] } },
          '/documented-and': { get: { ...dummy, security: [{ documented: [], enabled: [] }] } },
          '/variant': { get: { ...dummy, operationId: 'smart-home-unlink.check', security: [] } },
          '/any': { 'x-yc-apigateway-any-method': { ...call('token-authorize'), security: [{ enabled: [] }] } },
        },
        components: {
          securitySchemes: {
            disabled: authorizer('smart-home-unlink'),
            enabled: authorizer('token-authorize'),
            documented: { type: 'http', scheme: 'basic' },
          },
        },
      };

      const spec = specOf(await applied({ ...nothing, enabled_functions: ['token-authorize'] }, { openapi }));

      expect(operationsOf(spec).sort()).toEqual([
        'get /documented',
        'get /documented-and',
        'get /either',
        'get /open',
        'parameters /open',
        'x-yc-apigateway-any-method /any',
      ]);
      expect(spec).toMatchObject({
        paths: {
          '/documented': { get: { security: [] } },
          '/documented-and': { get: { security: [{ enabled: [] }] } },
          '/either': { get: { security: [{ enabled: [] }] } },
          '/open': { get: { security: [] } },
        },
      });
      expect(spec).not.toHaveProperty('security');
    });

    test('the outputs say what smoke and migrations need', () => {
      const id = whole.ids.get('yandex_function.this["smart-home-unlink"]');
      const database = whole.ids.get('yandex_ydb_database_serverless.store[0]');

      expect(whole.outputs).toMatchObject({
        functions_url: 'https://functions.yandexcloud.net',
        gateway_url: `https://${whole.ids.get('yandex_api_gateway.this[0]')}`,
        raw_urls: { 'smart-home-unlink': `https://functions.yandexcloud.net/${id}?integration=raw` },
        function_ids: { 'smart-home-unlink': id },
        public_functions: ['smart-home-unlink'],
        document_api_endpoint: database,
        store_url: `dynamodb+${database}?region=ru-central1&table=unlink&auth=iam`,
      });
    });

    test('the outputs name the origins and the providers that the smoke tries', async () => {
      const PROVIDERS = JSON.stringify([
        { type: 'esia', name: 'esia_1' },
        { type: 'oidc', name: 'dev_1', bind: { preset: 'oidc' } },
      ]);

      const { outputs } = await applied({
        ...given,
        environment: { SHOP_ORIGINS: 'https://shop.example, https://other.example', PROVIDERS },
      });

      expect(outputs.shop_origins).toEqual(['https://shop.example', 'https://other.example']);
      expect(outputs.bind_providers).toEqual(['oidc:dev_1']);
      expect(whole.outputs).toMatchObject({ bind_providers: [] });
      expect(whole.outputs).not.toHaveProperty('shop_origins');
    });

    test('the outputs leave out origins that no function gets in plain text', async () => {
      const withOrigins = { ...nothing, environment: { SHOP_ORIGINS: 'https://shop.example' } };

      const withoutShop = await applied({ ...withOrigins, profiles: ['matrix'] });
      expect(withoutShop.outputs).not.toHaveProperty('shop_origins');
      const secrets = { ...lockbox, SHOP_ORIGINS: secret('origins') };
      const withLockbox = await applied({ ...withOrigins, profiles: ['shop'], secrets });
      expect(withLockbox.outputs).not.toHaveProperty('shop_origins');
    });

    test('the database may be written by the functions that name a store, and is protected', async () => {
      expect(whole.resources.get('yandex_ydb_database_serverless.store[0]')).toMatchObject({
        deletion_protection: true,
      });
      expect(whole.resources.get('yandex_ydb_database_iam_binding.store[0]')).toMatchObject({
        role: 'ydb.editor',
        members: Object.keys(await readRows())
          .sort()
          .map((name) => account(whole, `function["${name}"]`)),
      });
    });

    test('a variable given by Lockbox is in no plain environment, even where a plain value is at hand', async () => {
      const secrets = { ...lockbox, STORE_URL: secret('store') };

      const deployment = await applied({ ...given, secrets });

      const unlink = deployment.resources.get('yandex_function.this["smart-home-unlink"]');
      expect(unlink?.environment).toEqual({});
      expect(unlink?.secrets).toContainEqual({
        environment_variable: 'STORE_URL',
        id: 'store',
        version_id: 'store-version',
        key: 'value',
      });
      expect(deployment.outputs).not.toHaveProperty('store_url');
    });

    test('with another store there is no database', async () => {
      const environment = { STORE_URL: 'redis://valkey.example:6379' };

      const deployment = await applied({ ...given, environment, ydb_store: false });

      expect(addresses(deployment, 'yandex_ydb_database_serverless')).toEqual([]);
      expect(addresses(deployment, 'yandex_ydb_database_iam_binding')).toEqual([]);
      expect(deployment.outputs).toMatchObject({ store_url: environment.STORE_URL });
      expect(deployment.outputs).not.toHaveProperty('document_api_endpoint');
    });

    test.each<[string, JsonObject, string]>([
      [
        'a function that has no row',
        { enabled_functions: ['smart-home-unlnk'] },
        'enabled_functions must name rows of functions.yaml, and nothing else',
      ],
      [
        'a public function that has no row',
        { public_functions: ['smart-home-unlnk', 'smart-home-unlink'] },
        'token-introspect, token-revoke), not smart-home-unlnk.',
      ],
      [
        'a public function that is not deployed',
        { profiles: ['smart-home'], public_functions: ['smart-home-unlink', 'social-unlink'] },
        'public_functions must name functions that are deployed (maintenance, smart-home-unlink, token-authorize, token-introspect, token-revoke), not social-unlink.',
      ],
      [
        'maintenance as a public function',
        { public_functions: ['maintenance'] },
        'must not name maintenance: it asks for no credential and runs its work at each call, so that only its timer may call it',
      ],
      [
        'token-authorize as a public function',
        { public_functions: ['token-revoke', 'token-authorize'] },
        'must not name token-authorize: it answers the API gateway alone. It asks its caller for no credential',
      ],
      [
        'a profile that no row has',
        { profiles: ['smart_home'] },
        'must name nothing but identity, matrix, shop, smart-home',
      ],
      [
        'nothing to deploy',
        { profiles: [] },
        'Nothing is named to deploy. Name a profile (identity, matrix, shop, smart-home)',
      ],
      ['a network by its name', { network_id: 'default-network' }, 'network_id must be the id of a network'],
      [
        'a secret that is not in Lockbox',
        { secrets: {} },
        'need these in Lockbox, named by the variable secrets: CLIENTS, ENCRYPTION_KEYS, MATRIX_SIGNING_KEY, TOKEN_PEPPERS',
      ],
      [
        'a list of providers in Lockbox',
        { secrets: { ...lockbox, PROVIDERS: secret('p') } },
        'PROVIDERS names the variables of secrets and holds none: give it in environment',
      ],
      ['a context prefix that ends with a slash', { context_prefix: '/blitz/' }, 'context_prefix must be empty, or'],
      ['a context prefix without a slash', { context_prefix: 'blitz' }, 'context_prefix must be empty, or'],
      ['a context prefix with a parameter', { context_prefix: '/{tenant}' }, 'context_prefix must be empty, or'],
      ['a context prefix of dots', { context_prefix: '/../blitz' }, 'context_prefix must be empty, or'],
      [
        'a secret as a plain value',
        { environment: { TOKEN_PEPPERS: 'k1:x' } },
        'No row of functions.yaml lists these under `variables`: TOKEN_PEPPERS',
      ],
      [
        'a password in a plain URL',
        { environment: { STORE_URL: 'postgres://u:obviously-fake@db/x' } },
        'A value holds a URL with a password',
      ],
      [
        'a client secret in plain JSON',
        { environment: { REVOKE_UPSTREAM: '{"client_secret":"obviously-fake"}' } },
        "holds a client's or an issuer's secret",
      ],
      [
        "an API's credential in plain JSON",
        { environment: { END_GRANT: '[{"authorization":"obviously-fake"}]' } },
        "holds a client's or an issuer's secret",
      ],
      [
        'a secret that no row lists',
        { secrets: { ...lockbox, OTHER: secret('o') } },
        'No row of functions.yaml lists these: OTHER',
      ],
      [
        'more than 4 KB of environment',
        { environment: { STORE_URL: `redis://${'ж'.repeat(2000)}` } },
        'the platform allows 4096',
      ],
      ['an unknown log level', { min_log_level: 'VERBOSE' }, 'min_log_level must be'],
    ])('%s is refused, with the reason', async (_what, variables, reason) => {
      const rehearsal = await rehearse({ ...given, ...variables });

      expect(rehearsal).toMatchObject({ status: 'refused', message: expect.stringContaining(reason) });
    });
  },
);
