import { isObject, type Json, type JsonObject, type Rows } from './terraform-files.ts';

/** How a spec asks for the id of a function. */
export const idOf = (name: string): string => `\${functions.${name}}`;

/** Names of the functions whose ids `spec` asks for, for an operation's integration, an authorizer or anything else. */
export const functionsNamedBy = (spec: Json): string[] => [
  ...new Set([...JSON.stringify(spec).matchAll(/\$\{functions\.([\w-]+)\}/g)].map(([, name = '']) => name)),
];

/** What is wrong with who can call the functions of `rows` behind `spec`, a line each. */
export function reachabilityFaults(rows: Rows, spec: JsonObject): string[] {
  const named = functionsNamedBy(spec);
  return [
    ...Object.entries(rows).flatMap(([name, row]) => {
      if (named.includes(name)) return row.timer ? [`${name}: called by its timer, and yet named by the gateway`] : [];
      if (!row.timer) return [`${name}: no gateway operation, authorizer or timer names it`];
      return row.public ? [`${name}: called by its timer only, and yet public`] : [];
    }),
    ...named
      .filter((name) => !(name in rows))
      .map((name) => `${name}: named by the gateway, but no row of functions.yaml`),
    ...operationsOf(spec).flatMap(({ operationId, ...operation }) => {
      const called = functionsNamedBy(operation)[0];
      const fits = called === undefined || String(operationId).split('.')[0] === called;
      return fits ? [] : [`${operationId}: the operation calls ${called}`];
    }),
  ];
}

function operationsOf(spec: JsonObject): JsonObject[] {
  const paths = isObject(spec.paths) ? Object.values(spec.paths) : [];
  return paths.flatMap((item) => (isObject(item) ? Object.values(item) : [])).filter(isObject);
}
