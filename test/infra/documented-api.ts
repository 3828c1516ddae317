/** openapi.yaml as a reader of the API takes it: its references followed, its extension for any method an operation. */
import { bundleFromString, createConfig, lintFromString } from '@redocly/openapi-core';
import * as z from 'zod';
import { readInfraFile } from './terraform-files.ts';

const Media = z.record(
  z.string(),
  z.object({
    schema: z.record(z.string(), z.unknown()),
    example: z.optional(z.unknown()),
    examples: z.optional(z.record(z.string(), z.object({ value: z.unknown() }))),
  }),
);
const Parameter = z.object({ name: z.string(), in: z.string(), example: z.optional(z.unknown()) });
const Operation = z.object({
  operationId: z.string(),
  summary: z.string(),
  tags: z.array(z.string()),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z.array(Parameter).default([]),
  requestBody: z.optional(z.object({ content: Media })),
  responses: z.record(z.string(), z.object({ description: z.string(), content: z.optional(Media) })),
  'x-yc-apigateway-integration': z.object({ type: z.string() }),
});
const Document = z.object({
  paths: z.record(z.string(), z.looseObject({ parameters: z.optional(z.array(Parameter)) })),
  components: z.object({ securitySchemes: z.record(z.string(), z.looseObject({})) }),
});

/** An operation of the API, the parameters of its path among its own. */
export interface DocumentedOperation extends z.infer<typeof Operation> {
  readonly method: string;
  readonly path: string;
}

/** What the linter checks as something else than it is: nothing else stands under this method. */
const ANY_METHOD = 'trace';

const source = (await readInfraFile('openapi.yaml'))
  .replaceAll('x-yc-apigateway-any-method:', `${ANY_METHOD}:`)
  // The gateway's way to say: and whatever follows.
  .replaceAll('{path+}', '{path}');

/** What a linter finds in the document, a line each; `change` makes something else of it before. */
export async function lint(change: (text: string) => string = (text) => text): Promise<string[]> {
  const config = await createConfig({
    extends: ['recommended-strict'],
    rules: {
      // Where it is deployed is not known here, and the path of the smart home's check ends with a slash.
      'no-empty-servers': 'off',
      'no-path-trailing-slash': 'off',
      // Of a path or method that there is not, to say so is all.
      'operation-2xx-response': 'off',
    },
  });
  const problems = await lintFromString({ source: change(source), absoluteRef: 'openapi.yaml', config });
  return problems.map(({ ruleId, message, location }) => `${location[0]?.pointer}: ${message} (${ruleId})`);
}

/** The operations in the order of the file, and the names of the security schemes that the gateway checks. */
export async function readDocumentedApi(): Promise<{ operations: DocumentedOperation[]; checkedSchemes: string[] }> {
  const config = await createConfig({});
  const { bundle } = await bundleFromString({ source, absoluteRef: 'openapi.yaml', config, dereference: true });
  const { paths, components } = Document.parse(bundle.parsed);
  const operations = Object.entries(paths).flatMap(([path, { parameters = [], ...methods }]) =>
    Object.entries(methods).map(([method, operation]) => {
      const read = Operation.parse(operation);
      return { ...read, parameters: [...parameters, ...read.parameters], method, path };
    }),
  );
  const checkedSchemes = Object.entries(components.securitySchemes).flatMap(([name, scheme]) =>
    'x-yc-apigateway-authorizer' in scheme ? name : [],
  );
  return { operations, checkedSchemes };
}

/** The examples of a body in one media type. */
export function examplesOf(media: z.infer<typeof Media>[string] | undefined): unknown[] {
  if (media === undefined) return [];
  const named = Object.values(media.examples ?? {}).map(({ value }) => value);
  return media.example === undefined ? named : [media.example, ...named];
}

/** What an operation answered. */
export interface GivenAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What is not documented of an answer, in a line; undefined where all is. */
export function undocumentedIn(
  operation: DocumentedOperation,
  { status, headers, body }: GivenAnswer,
): string | undefined {
  const place = `${operation.operationId}: ${status}`;
  const response = operation.responses[status] ?? operation.responses.default;
  if (response === undefined) return `${place} is not documented: ${body.slice(0, 100)}`;
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  if (body === '') return undefined;
  if (response.content === undefined) return isOfOthers(operation, status) ? undefined : `${place} has a body`;
  const media = response.content[type];
  if (media === undefined) return `${place} is of the type ${type}`;
  if (type !== 'application/json') return undefined;
  const schema = z.fromJSONSchema({ ...media.schema }, { defaultTarget: 'openapi-3.0' });
  const result = schema.safeParse(JSON.parse(body));
  return result.success ? undefined : `${place} is not of its schema: ${result.error.issues[0]?.message}: ${body}`;
}

/** Whether the words are the gateway's own, or those of a server whose answer is passed on. */
function isOfOthers({ operationId, responses }: DocumentedOperation, status: number): boolean {
  return (operationId === 'whoami' && status !== 200) || !(status in responses);
}
