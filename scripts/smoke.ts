import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { type Run, SMOKE_CALLS, type SmokeAnswer, type SmokeCall, type SmokeRequest } from './smoke/calls.ts';

const USAGE = `npm run smoke -- --functions-url <url> --gateway-url <url> [options]

  --functions-url <url>   where functions are called directly: <url>/<function or its id>?integration=raw
  --gateway-url <url>     where the gateway answers
  --outputs <file>        both URLs, the functions and their ids from terraform output -json
  --function <name>=<id>  the id of a deployed function, where it is not its name; repeatable
  --only <name>           tries this function only; repeatable. Default: all of --outputs, else of functions.yaml
  --token <token>         REVOKED by the run; default: a random one, which will do where tokens are not verified
  --request-id <id>       default: a random one
  --context-prefix <path> what the paths of the Blitz API begin with; default: of --outputs, else /blitz

SMOKE_CLIENT=<id>:<secret> in the environment is the client that the token was issued to, to try what clients may.`;

/** Enough for a cold start behind the longest time-out of a function. */
const DEADLINE_MS = 20_000;

const FUNCTIONS_FILE = fileURLToPath(new URL('../infra/functions.yaml', import.meta.url));

const FunctionsFile = z.object({ functions: z.record(z.string(), z.unknown()) });

/** What is used of `terraform output -json`; an output without a value is not there. */
const Outputs = z.object({
  functions_url: z.object({ value: z.url() }),
  gateway_url: z.optional(z.object({ value: z.url() })),
  function_ids: z.object({ value: z.record(z.string(), z.string()) }),
  context_prefix: z.optional(z.object({ value: z.string() })),
  public_functions: z.object({ value: z.array(z.string()) }),
});

/** Where the functions are. */
interface Target {
  readonly functionsUrl: string | undefined;
  readonly gatewayUrl: string | undefined;
  readonly functions: readonly string[];
  readonly ids: ReadonlyMap<string, string>;
  /** Whether anybody may call the function directly; yes where it is not known. */
  readonly isPublic: (name: string) => boolean;
}

/** The command line: tries each deployed function, a line a call; status 1 when an answer was not the expected one. */
async function main(): Promise<void> {
  const { target, run } = readCommandLine();
  const tally = { passed: 0, failed: 0 };
  const known = new Set(SMOKE_CALLS.flatMap(({ functions }) => functions));
  for (const name of target.functions) if (!known.has(name)) report('info', `${name}: no smoke call is known for it`);
  for (const call of SMOKE_CALLS) {
    if (!call.functions.every((name) => target.functions.includes(name))) continue;
    if (call.needsClient && run.client === undefined) continue;
    const label = `${call.functions[0]}: ${call.title}`;
    const url = urlOf(call, target, run);
    if (url instanceof URL) tally[await tryCall(call, label, url, run)] += 1;
    else report('info', `${label}: not tried, ${url.obstacle}`);
  }
  console.log(`${tally.passed} passed, ${tally.failed} failed`);
  if (tally.failed > 0 || tally.passed === 0) process.exitCode = 1;
}

async function tryCall(call: SmokeCall, label: string, url: URL, run: Run): Promise<'passed' | 'failed'> {
  let answer: SmokeAnswer;
  try {
    answer = await send(url, call.request(run));
  } catch (error) {
    report('FAIL', `${label}: expected ${call.expected}, got no answer: ${reasonOf(error)}`);
    return 'failed';
  }
  const isExpected = call.isExpected(answer, run);
  const got = [answer.status, shown(answer.text, run)].filter((part) => part !== '').join(' ');
  report(isExpected ? 'ok' : 'FAIL', `${label}: expected ${call.expected}, got ${got}`);
  if (answer.headers.has('x-function-error')) report('info', `a thrown error arrives as ${answer.status} with ${got}`);
  if (isExpected && call.observe) report('info', shown(call.observe(answer), run));
  return isExpected ? 'passed' : 'failed';
}

function urlOf({ request, functions: [name] }: SmokeCall, target: Target, run: Run): URL | { obstacle: string } {
  const asked = request(run);
  if (asked.via === 'gateway') {
    if (target.gatewayUrl === undefined) return { obstacle: 'no gateway is given' };
    return new URL(`${target.gatewayUrl}${asked.path}`);
  }
  if (target.functionsUrl === undefined) return { obstacle: 'no --functions-url is given' };
  if (!target.isPublic(name)) return { obstacle: 'the function may not be called directly by anybody' };
  const id = target.ids.get(name) ?? name;
  return new URL(`${target.functionsUrl}/${id}${asked.via === 'raw' ? '?integration=raw' : ''}`);
}

async function send(url: URL, request: SmokeRequest): Promise<SmokeAnswer> {
  const init: RequestInit =
    request.via === 'raw'
      ? { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: request.body }
      : request.via === 'https'
        ? { method: 'POST', headers: request.headers }
        : { method: request.method, headers: request.headers ?? {}, body: request.body ?? null };
  // A redirect would carry the token elsewhere.
  const response = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(DEADLINE_MS) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: parseJson(text) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One line without the token, and without what would steer a terminal. */
function shown(text: string, { token }: Run): string {
  const spellings = [token, encodeURIComponent(token), JSON.stringify(token).slice(1, -1)];
  return spellings
    .reduce((rest, spelling) => rest.replaceAll(spelling, '<token>'), text)
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .slice(0, 300);
}

/** What `fetch` failed with, whose own message says nothing. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return `none within ${DEADLINE_MS / 1000} s`;
  const { cause } = error;
  if (cause instanceof Error && 'code' in cause) return `${cause.code}`;
  return error.name;
}

function report(kind: 'ok' | 'FAIL' | 'info', text: string): void {
  const colour = { ok: 'green', FAIL: 'red', info: 'dim' } as const;
  console.log(`${styleText(colour[kind], kind.padEnd(4))} ${text}`);
}

const OPTIONS = {
  'functions-url': { type: 'string' },
  'gateway-url': { type: 'string' },
  outputs: { type: 'string' },
  function: { type: 'string', multiple: true, default: [] as string[] },
  only: { type: 'string', multiple: true },
  token: { type: 'string', default: `smoke-${randomBytes(24).toString('base64url')}` },
  'context-prefix': { type: 'string' },
  'request-id': { type: 'string', default: `smoke-${randomBytes(6).toString('hex')}` },
} as const;

function readCommandLine(): { target: Target; run: Run } {
  const { values } = parseArgs({ options: OPTIONS });
  const outputs = values.outputs === undefined ? undefined : readOutputs(values.outputs);
  const functionsUrl = values['functions-url'] ?? outputs?.functions_url.value;
  const gatewayUrl = values['gateway-url'] ?? outputs?.gateway_url?.value;
  if (functionsUrl === undefined && gatewayUrl === undefined) throw new Error('No URL is given.');
  const deployed = outputs === undefined ? rows() : Object.keys(outputs.function_ids.value);
  const unknown = values.only?.find((name) => !deployed.includes(name));
  if (unknown !== undefined) throw new Error(`--only must be one of ${deployed.join(', ')}.`);
  return {
    target: {
      functionsUrl: functionsUrl && baseUrl('--functions-url', functionsUrl),
      gatewayUrl: gatewayUrl && baseUrl('--gateway-url', gatewayUrl),
      functions: values.only ?? deployed,
      ids: new Map([...Object.entries(outputs?.function_ids.value ?? {}), ...values.function.map(readId)]),
      isPublic: (name) => outputs === undefined || outputs.public_functions.value.includes(name),
    },
    run: {
      token: values.token,
      requestId: values['request-id'],
      client: readClient(),
      contextPrefix: values['context-prefix'] ?? outputs?.context_prefix?.value ?? '/blitz',
    },
  };
}

/** HTTP Basic of the client in SMOKE_CLIENT: an argument would show its secret to every user of the machine. */
function readClient(): string | undefined {
  const { SMOKE_CLIENT } = process.env;
  return SMOKE_CLIENT === undefined ? undefined : `Basic ${Buffer.from(SMOKE_CLIENT).toString('base64')}`;
}

function readId(pair: string): [name: string, id: string] {
  const [, name, id] = /^([a-z0-9-]+)=([\w-]+)$/.exec(pair) ?? [];
  if (name === undefined || id === undefined) throw new Error('--function must be <name>=<id>.');
  return [name, id];
}

function baseUrl(option: string, text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(`${option} must be an http or https URL.`);
  return url.href.replace(/[/?#]+$/, '');
}

function rows(): string[] {
  return Object.keys(FunctionsFile.parse(parseYaml(readFileSync(FUNCTIONS_FILE, 'utf8'))).functions);
}

function readOutputs(path: string): z.infer<typeof Outputs> {
  const outputs = Outputs.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (outputs.success) return outputs.data;
  const [issue] = outputs.error.issues;
  throw new Error(`${path} is not what terraform output -json prints: ${issue?.path.join('.')}: ${issue?.message}.`);
}

try {
  await main();
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = 1;
}
