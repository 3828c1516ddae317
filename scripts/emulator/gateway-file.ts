import * as z from 'zod';
import { CorsRule } from './cors.ts';
import { readYaml } from './functions-file.ts';
import { StartError } from './start-error.ts';

/** A path of the gateway, everything resolved that applies to it. */
export interface GatewayPath {
  /** As in the specification but for its context prefix, such as `/users/{id}`. */
  template: string;
  /** By upper-case method; ANY for all that are not there. */
  operations: Map<string, Operation>;
  cors: CorsRule | undefined;
}

export interface Operation {
  operationId: string | undefined;
  /** The path's parameters and the operation's own. */
  parameters: Parameter[];
  /** Tried in this order; undefined lets anyone in. None at all: the operation is open. */
  authorizers: (Authorizer | undefined)[];
  integration: Integration;
}

/** An authorizer function and the credential that a client must send for it to be asked. */
export interface Authorizer {
  functionName: string;
  /** The name of the security scheme. */
  scheme: string;
  credential: { kind: 'authorization'; prefix: string } | { kind: 'header' | 'query' | 'cookie'; name: string };
  /** In seconds; 0 caches nothing. */
  cacheTtl: number;
  /** Whether the cache tells paths of one template apart. */
  cacheMode: 'path' | 'uri';
}

const Parameter = z.object({ name: z.string(), in: z.enum(['path', 'query', 'header', 'cookie']) });
export type Parameter = z.infer<typeof Parameter>;

const CloudFunctions = z.strictObject({
  type: z.literal('cloud_functions'),
  function_id: z.string(),
  tag: z.optional(z.literal('$latest')),
  service_account_id: z.optional(z.string()),
  payload_format_version: z.literal('1.0'),
  context: z.optional(z.record(z.string(), z.unknown())),
});
const Dummy = z.strictObject({
  type: z.literal('dummy'),
  http_code: z.int().min(200).max(599),
  http_headers: z.record(z.string(), z.coerce.string()).default({}),
  content: z.record(z.string(), z.string()).default({}),
});
export type DummyIntegration = z.infer<typeof Dummy>;
type Integration =
  | { type: 'cloud_functions'; functionName: string; context: Record<string, unknown> | undefined }
  | DummyIntegration;

const FunctionAuthorizer = z.strictObject({
  type: z.literal('function'),
  function_id: z.string(),
  tag: z.optional(z.literal('$latest')),
  service_account_id: z.optional(z.string()),
  authorizer_result_ttl_in_seconds: z.int().min(0).default(0),
  authorizer_result_caching_mode: z.optional(z.string().toLowerCase()).pipe(z.enum(['path', 'uri']).default('path')),
});
const SecurityScheme = z.object({
  type: z.string(),
  scheme: z.optional(z.string()),
  in: z.optional(z.enum(['header', 'query', 'cookie'])),
  name: z.optional(z.string()),
  'x-yc-apigateway-authorizer': z.optional(z.unknown()),
});
const Security = z.optional(z.array(z.record(z.string(), z.unknown())));
const TopLevel = z.strictObject({ service_account_id: z.optional(z.string()), cors: z.optional(z.unknown()) });
const Document = z.object({
  'x-yc-apigateway': z.optional(z.unknown()),
  security: Security,
  paths: z.record(z.string().startsWith('/'), z.record(z.string(), z.unknown())),
  components: z.optional(z.object({ securitySchemes: z.optional(z.record(z.string(), z.unknown())) })),
});
const OperationObject = z.object({
  operationId: z.optional(z.string()),
  parameters: z.optional(z.array(z.unknown())),
  security: Security,
  'x-yc-apigateway-integration': z.unknown(),
});

const METHODS = new Map(
  ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'].map((key) => [key, key.toUpperCase()]),
).set('x-yc-apigateway-any-method', 'ANY');
const EMULATED_EXTENSIONS = new Set([
  'x-yc-apigateway',
  'x-yc-apigateway-any-method',
  'x-yc-apigateway-authorizer',
  'x-yc-apigateway-cors',
  'x-yc-apigateway-cors-rules',
  'x-yc-apigateway-integration',
]);

/** What paths begin with in the document that a deployment may have otherwise. */
export const DECLARED_PREFIX = '/blitz';

/**
 * Reads the gateway's OpenAPI document; refuses with a StartError whatever the emulator would have to leave out.
 *
 * @param contextPrefix Stands in place of a leading `/blitz`, as Terraform's `context_prefix` does.
 */
export function readGatewayFile(
  file: string,
  functionNames: ReadonlySet<string>,
  contextPrefix: string = DECLARED_PREFIX,
): GatewayPath[] {
  if (!/^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/.test(contextPrefix)) {
    throw new StartError(`The context prefix must be empty, or segments each after a slash, as ${DECLARED_PREFIX}.`);
  }
  const raw = readYaml(file);
  refuseOtherExtensions(raw, file);
  const document = check(Document, raw, file);
  const topLevel = check(TopLevel, document['x-yc-apigateway'] ?? {}, `${file}: x-yc-apigateway`);

  const functionNameOf = (id: string, place: string): string => {
    const name = /^\$\{functions\.([^}]+)\}$/.exec(id)?.[1] ?? id;
    if (!functionNames.has(name)) throw new StartError(`${place} names the function ${name}, which there is not.`);
    return name;
  };

  /** Follows a reference within the document. */
  const resolve = (value: unknown, place: string): unknown => {
    const reference = z.object({ $ref: z.string() }).safeParse(value);
    if (!reference.success) return value;
    const { $ref } = reference.data;
    let target = raw;
    for (const key of $ref.replace(/^#\//, '').split('/')) {
      const parent = z.record(z.string(), z.unknown()).safeParse(target);
      target = parent.data?.[key.replaceAll('~1', '/').replaceAll('~0', '~')];
    }
    if (target === undefined) throw new StartError(`${place} refers to ${$ref}, which there is not.`);
    return target;
  };

  const schemes = document.components?.securitySchemes ?? {};
  const authorizers = new Map<string, Authorizer>();
  for (const [name, value] of Object.entries(schemes)) {
    const place = `${file}: components.securitySchemes.${name}`;
    const scheme = check(SecurityScheme, resolve(value, place), place);
    const extension = scheme['x-yc-apigateway-authorizer'];
    // Without an authorizer the gateway has no way to check anything: a scheme is then documentation.
    if (extension === undefined) continue;
    const authorizer = check(FunctionAuthorizer, extension, `${place}.x-yc-apigateway-authorizer`);
    authorizers.set(name, {
      functionName: functionNameOf(authorizer.function_id, place),
      scheme: name,
      credential: credentialOf(scheme, place),
      cacheTtl: authorizer.authorizer_result_ttl_in_seconds,
      cacheMode: authorizer.authorizer_result_caching_mode,
    });
  }

  const securityOf = (security: z.infer<typeof Security>, place: string): Operation['authorizers'] =>
    (security ?? []).map((requirement) => {
      const unknown = Object.keys(requirement).find((name) => !(name in schemes));
      if (unknown !== undefined)
        throw new StartError(`${place} asks for the security scheme ${unknown}, which there is not.`);
      const names = Object.keys(requirement).filter((name) => authorizers.has(name));
      if (names.length > 1) throw new StartError(`${place} needs two authorizers at once, which is not emulated.`);
      return names[0] === undefined ? undefined : authorizers.get(names[0]);
    });

  const integrationOf = (value: unknown, place: string): Integration => {
    const { type } = check(z.object({ type: z.string() }), value, place);
    if (type === 'dummy') return check(Dummy, value, place);
    if (type !== 'cloud_functions') throw new StartError(`${place}: the type ${type} is not emulated.`);
    const integration = check(CloudFunctions, value, place);
    return { type, functionName: functionNameOf(integration.function_id, place), context: integration.context };
  };

  const operationOf = (value: unknown, pathParameters: unknown[], place: string): Operation => {
    const operation = check(OperationObject, value, place);
    const parameters = [...pathParameters, ...(operation.parameters ?? [])];
    return {
      operationId: operation.operationId,
      parameters: parameters.map((parameter) => check(Parameter, resolve(parameter, place), `${place}.parameters`)),
      authorizers: securityOf(operation.security ?? document.security, place),
      integration: integrationOf(
        resolve(operation['x-yc-apigateway-integration'], place),
        `${place}.x-yc-apigateway-integration`,
      ),
    };
  };

  const corsOf = (value: unknown, place: string): CorsRule | undefined => {
    if (value === undefined) return undefined;
    const rule = check(CorsRule, resolve(value, place), `${place}: CORS`);
    return rule.origin === false ? undefined : rule;
  };

  return Object.entries(document.paths).map(([declared, item]) => {
    const place = `${file}: ${declared}`;
    const template = declared.startsWith(`${DECLARED_PREFIX}/`)
      ? contextPrefix + declared.slice(DECLARED_PREFIX.length)
      : declared;
    const pathParameters = check(z.array(z.unknown()), item.parameters ?? [], `${place}.parameters`);
    const operations = new Map<string, Operation>();
    for (const [key, value] of Object.entries(item)) {
      const method = METHODS.get(key);
      if (method) operations.set(method, operationOf(value, pathParameters, `${place}.${key}`));
    }
    return { template, operations, cors: corsOf(item['x-yc-apigateway-cors'] ?? topLevel.cors, place) };
  });
}

function credentialOf(scheme: z.infer<typeof SecurityScheme>, place: string): Authorizer['credential'] {
  const httpScheme = scheme.scheme?.toLowerCase();
  if (scheme.type === 'http' && (httpScheme === 'bearer' || httpScheme === 'basic')) {
    return { kind: 'authorization', prefix: `${httpScheme} ` };
  }
  if (scheme.type === 'apiKey' && scheme.in && scheme.name) return { kind: scheme.in, name: scheme.name };
  throw new StartError(`${place}: an authorizer works with http basic, http bearer and apiKey only.`);
}

function refuseOtherExtensions(value: unknown, place: string): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    if (key.startsWith('x-yc-') && !EMULATED_EXTENSIONS.has(key)) {
      throw new StartError(`${place}: the extension ${key} is not emulated.`);
    }
    refuseOtherExtensions(child, `${place}: ${key}`);
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, place: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const at = [place, ...(issue?.path ?? [])].join('.');
  throw new StartError(`${at}: ${issue?.message}.`);
}
