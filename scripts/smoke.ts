import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { readSecret } from './admin/terminal.ts';
import {
  holds,
  LIFE_FUNCTIONS,
  type LifeStep,
  type Run,
  SMOKE_CALLS,
  type SmokeAnswer,
  type SmokeCall,
  type SmokeRequest,
} from './smoke/calls.ts';

const USAGE = `npm run smoke -- --outputs <file> [options]
npm run smoke -- --functions-url <url> --gateway-url <url> [options]

  --outputs <file>         what terraform output -json prints of a deployment: URLs, functions, ids, and defaults below
  --functions-url <url>    where functions are called directly: <url>/<function or its id>?integration=raw
  --gateway-url <url>      where the gateway answers
  --function <name>=<id>   the id of a deployed function, where it is not its name; repeatable
  --only <name>            tries this function only; repeatable. Default: all of --outputs, else of functions.yaml
  --token-stdin            reads an access token of your issuer from standard input, and shows that it is accepted, then
                           unlinked, then refused. REVOKED by the run. Default: a random token, which is accepted only
                           where tokens are not verified
  --request-id <id>        default: a random one
  --context-prefix <path>  what the paths of the Blitz API begin with; default: of --outputs, else /blitz
  --shop-origin <origin>   an origin that SHOP_ORIGINS lists; default: the first of --outputs
  --bind-provider <name>   <type>:<name> of a provider to start a bind at; default: the first of --outputs
  --bind-callback <url>    a callback that is registered for the client of SMOKE_BIND_CLIENT
  --help                   prints this

In the environment, because every user of the machine can see an argument:
  SMOKE_CLIENT=<id>:<secret>       the client that the token was issued to, to try what clients may
  SMOKE_BIND_CLIENT=<id>:<secret>  an application of CLIENTS, to start a bind

Without --outputs, URLs of this machine (localhost) are those of the emulator; any other is a deployment.
A function of which no call could be tried makes the run fail: give what is missing, or leave the function out by --only.
`;

/** Enough for a cold start behind the longest time-out of a function. */
const DEADLINE_MS = 20_000;

const FUNCTIONS_FILE = fileURLToPath(new URL('../infra/functions.yaml', import.meta.url));

const FunctionsFile = z.object({
  functions: z.record(z.string(), z.object({ public: z.optional(z.boolean()) })),
});

/** What is used of `terraform output -json`; an output without a value is not there. */
const Outputs = z.object({
  functions_url: z.object({ value: z.url() }),
  gateway_url: z.optional(z.object({ value: z.url() })),
  function_ids: z.object({ value: z.record(z.string(), z.string()) }),
  context_prefix: z.optional(z.object({ value: z.string() })),
  public_functions: z.object({ value: z.array(z.string()) }),
  shop_origins: z.optional(z.object({ value: z.array(z.string()) })),
  bind_providers: z.optional(z.object({ value: z.array(z.string()) })),
});

/** Where the functions are. */
interface Target {
  readonly kind: 'emulator' | 'deployment';
  readonly functionsUrl: string | undefined;
  readonly gatewayUrl: string | undefined;
  readonly functions: readonly string[];
  readonly ids: ReadonlyMap<string, string>;
  /** Whether anybody may call the function directly: on the emulator all, else as --outputs or functions.yaml says. */
  readonly isPublic: (name: string) => boolean;
}

/** What a call came to, or why it was not tried and what the operator can give for it. */
type Outcome = 'passed' | 'failed' | Obstacle;

interface Obstacle {
  readonly obstacle: string;
  readonly give?: string;
}

/** The run so far. */
interface Progress {
  passed: number;
  failed: number;
  /** The functions of which a call was tried. */
  readonly tried: Set<string>;
  readonly life: Set<LifeStep>;
}

/**
 * The command line: tries each function, a line a call. Status 1 when an answer was not the expected one, when nothing was
 * tried of a function, and when the life of an accepted token did not come to its end.
 */
async function main(values: Values): Promise<void> {
  const { target, run } = await readGiven(values);
  report(
    'info',
    `trying the ${target.kind} at ${[target.functionsUrl, target.gatewayUrl].filter(Boolean).join(' and ')}`,
  );
  const progress: Progress = { passed: 0, failed: 0, tried: new Set(), life: new Set() };
  const missing = new Map<string, Set<string>>();
  for (const call of SMOKE_CALLS) {
    if (!call.functions.every((name) => target.functions.includes(name))) continue;
    if (call.where !== undefined && call.where !== target.kind) continue;
    const [name] = call.functions;
    const outcome = await tryCall(call, target, run, progress);
    if (typeof outcome === 'string') {
      progress[outcome] += 1;
      progress.tried.add(name);
    } else {
      report('info', `${name}: ${call.title}: not tried, ${outcome.obstacle}`);
      const gives = missing.get(name) ?? new Set();
      missing.set(name, outcome.give === undefined ? gives : gives.add(outcome.give));
    }
  }
  const complaints = [...lifeComplaints(target, run, progress), ...untriedComplaints(target, progress, missing)];
  console.log([`${progress.passed} passed, ${progress.failed} failed`, ...complaints].join(', '));
  if (progress.failed > 0 || progress.passed === 0 || complaints.length > 0) process.exitCode = 1;
}

/** Names each function of which no call was tried: nothing is shown of it. */
function untriedComplaints({ functions }: Target, { tried }: Progress, missing: Map<string, Set<string>>): string[] {
  const untried = functions.filter((name) => !tried.has(name));
  for (const name of untried) {
    const gives = missing.get(name);
    const remedy =
      gives === undefined
        ? 'no smoke call is known for it: scripts/smoke/calls.ts must have one'
        : `no call of it was tried: give ${[...gives].join(', or ')}, or leave it out by --only`;
    report('FAIL', `${name}: ${remedy}`);
  }
  return untried.length === 0 ? [] : [`nothing tried of ${untried.join(', ')}`];
}

/** Says how far the token came, where the functions that its life takes are there. */
function lifeComplaints({ functions }: Target, { isTokenGiven }: Run, { life }: Progress): string[] {
  if (!LIFE_FUNCTIONS.every((name) => functions.includes(name))) {
    if (isTokenGiven)
      report('info', 'the life of the token is not tried: one of the two functions that it takes is left out');
    return [];
  }
  // That was a call that failed, or one that could not be tried.
  if (!life.has('accepted')) return [];
  if (life.has('refused')) {
    report('info', 'the token was accepted, then unlinked, then refused');
    return [];
  }
  const end = life.has('unlinked') ? 'the token was unlinked, but is not refused' : 'the token was not unlinked';
  report('FAIL', end);
  return [end];
}

async function tryCall(call: SmokeCall, target: Target, run: Run, progress: Progress): Promise<Outcome> {
  const request = call.request(run);
  if (request.via === 'nothing') return { obstacle: `${request.give} not given`, give: request.give };
  const url = urlOf(call, request, target);
  if (!(url instanceof URL)) return url;
  const obstacle = lifeObstacle(call, progress);
  if (obstacle !== undefined) return { obstacle };

  const label = `${call.functions[0]}: ${call.title}`;
  let answer: SmokeAnswer;
  try {
    answer = await send(url, request);
  } catch (error) {
    report('FAIL', label, `expected ${call.expected}, got no answer: ${reasonOf(error)}`);
    return 'failed';
  }
  const isExpected = call.isExpected(answer, run);
  reportAnswer(call, answer, isExpected, run);
  if (call.step !== undefined && isExpected && (call.isReached?.(answer, run) ?? true)) progress.life.add(call.step);
  return isExpected ? 'passed' : 'failed';
}

/** Why a step of the token's life would show nothing: a token that was never accepted is refused as well. */
function lifeObstacle({ step }: SmokeCall, { life, tried }: Progress): string | undefined {
  if (step === 'unlinked' && tried.has('token-authorize') && !life.has('accepted')) return 'the token was not accepted';
  if (step === 'refused' && !life.has('unlinked')) return 'the token was not unlinked';
  return undefined;
}

function reportAnswer(call: SmokeCall, answer: SmokeAnswer, isExpected: boolean, run: Run): void {
  // An answer that is as expected need not be read to its end.
  const summary = shown(summaryOf(answer), run, isExpected ? 100 : 300);
  const got = [answer.status, summary].filter((part) => part !== '').join(' ');
  const label = `${call.functions[0]}: ${call.title}`;
  report(isExpected ? 'ok' : 'FAIL', label, `expected ${call.expected}, got ${got}`);
  if (answer.headers.has('x-function-error')) report('info', `a thrown error arrives as ${answer.status} with ${got}`);
  const note = isExpected ? call.observe?.(answer) : call.advice?.(run);
  if (note !== undefined) report('info', shown(note, run));
}

function urlOf(call: SmokeCall, request: SmokeRequest, target: Target): URL | Obstacle {
  const [name] = call.functions;
  if (request.via === 'gateway') {
    if (target.gatewayUrl === undefined) return { obstacle: 'no gateway is given', give: '--gateway-url' };
    return new URL(`${target.gatewayUrl}${request.path}`);
  }
  if (target.functionsUrl === undefined) {
    return { obstacle: 'no --functions-url is given', give: '--functions-url' };
  }
  if (!call.isForbidden && !target.isPublic(name)) {
    return { obstacle: 'the function is not public' };
  }
  const id = target.ids.get(name) ?? name;
  return new URL(`${target.functionsUrl}/${id}${request.via === 'raw' ? '?integration=raw' : ''}`);
}

async function send(url: URL, request: SmokeRequest): Promise<SmokeAnswer> {
  const init: RequestInit =
    request.via === 'raw'
      ? { method: 'POST', headers: { 'Content-Type': 'application/json', ...request.headers }, body: request.body }
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

/**
 * What an answer is printed as: a page by its title, other text that is not JSON by its type and size; of a token that is
 * active nothing that says whose it is.
 */
function summaryOf({ headers, text, json }: SmokeAnswer): string {
  if (holds(json, { active: true })) return '{"active":true,…}';
  const [type = ''] = (headers.get('content-type') ?? '').split(';');
  if (json !== undefined || text === '' || type === '' || type === 'text/plain') return text;
  const [, title] = /<title>([^<]*)<\/title>/.exec(text) ?? [];
  return title === undefined ? `${type}, ${Buffer.byteLength(text)} bytes` : `a page "${title}"`;
}

/** One line without a secret, and without what would steer a terminal. */
function shown(text: string, run: Run, length = 300): string {
  const line = secretsOf(run)
    .flatMap(([secret, name]) =>
      [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)].map(
        (spelling) => [spelling, name] as const,
      ),
    )
    // A secret may be the beginning of another one, whose rest would be printed.
    .sort(([one], [other]) => other.length - one.length)
    .reduce((rest, [spelling, name]) => rest.replaceAll(spelling, `<${name}>`), text)
    // Of a sign-in at a provider: good once, and yet nobody else's.
    .replace(/\b(state|nonce)=[^&"\s]+/g, '$1=…')
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ');
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

function secretsOf({ token, client, bind }: Run): [secret: string, name: string][] {
  const credentials = [client, bind.client].flatMap((header) => {
    if (header === undefined) return [];
    const encoded = header.replace(/^Basic /, '');
    const text = Buffer.from(encoded, 'base64').toString();
    return [encoded, text.slice(text.indexOf(':') + 1)];
  });
  return [[token, 'token'], ...credentials.map((secret): [string, string] => [secret, 'secret'])];
}

/** What `fetch` failed with, whose own message says nothing. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return `none within ${DEADLINE_MS / 1000} s`;
  const { cause } = error;
  if (cause instanceof Error && 'code' in cause) return `${cause.code}`;
  return error.name;
}

function report(kind: 'ok' | 'FAIL' | 'info', text: string, detail?: string): void {
  const colour = { ok: 'green', FAIL: 'red', info: 'dim' } as const;
  // Of what is as expected, the title is what is looked for.
  const details = detail === undefined ? '' : `: ${kind === 'ok' ? styleText('dim', detail) : detail}`;
  console.log(`${styleText(colour[kind], kind.padEnd(4))} ${text}${details}`);
}

const OPTIONS = {
  help: { type: 'boolean' },
  'functions-url': { type: 'string' },
  'gateway-url': { type: 'string' },
  outputs: { type: 'string' },
  function: { type: 'string', multiple: true, default: [] as string[] },
  only: { type: 'string', multiple: true },
  'token-stdin': { type: 'boolean', default: false },
  'context-prefix': { type: 'string' },
  'shop-origin': { type: 'string' },
  'bind-provider': { type: 'string' },
  'bind-callback': { type: 'string' },
  'request-id': { type: 'string', default: `smoke-${randomBytes(6).toString('hex')}` },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

async function readGiven(values: Values): Promise<{ target: Target; run: Run }> {
  const outputs = values.outputs === undefined ? undefined : readOutputs(values.outputs);
  return { target: targetOf(values, outputs), run: await runOf(values, outputs) };
}

function targetOf(values: Values, outputs: z.infer<typeof Outputs> | undefined): Target {
  const functionsUrl = baseUrl('--functions-url', values['functions-url'] ?? outputs?.functions_url.value);
  const gatewayUrl = baseUrl('--gateway-url', values['gateway-url'] ?? outputs?.gateway_url?.value);
  const anyUrl = functionsUrl ?? gatewayUrl;
  if (anyUrl === undefined) throw new Error('No URL is given.');
  const rows = readRows();
  const deployed = Object.keys(outputs?.function_ids.value ?? rows);
  const unknown = values.only?.find((name) => !deployed.includes(name));
  if (unknown !== undefined) throw new Error(`--only must be one of ${deployed.join(', ')}.`);
  const kind = outputs === undefined && isThisMachine(anyUrl) ? 'emulator' : 'deployment';
  return {
    kind,
    functionsUrl,
    gatewayUrl,
    functions: values.only ?? deployed,
    ids: new Map([...Object.entries(outputs?.function_ids.value ?? {}), ...values.function.map(readId)]),
    isPublic: (name) =>
      kind === 'emulator' || (outputs?.public_functions.value.includes(name) ?? rows[name]?.public === true),
  };
}

async function runOf(values: Values, outputs: z.infer<typeof Outputs> | undefined): Promise<Run> {
  return {
    token: values['token-stdin'] ? await readToken() : `smoke-${randomBytes(24).toString('base64url')}`,
    isTokenGiven: values['token-stdin'],
    requestId: values['request-id'],
    client: readClient('SMOKE_CLIENT'),
    contextPrefix: contextPrefixOf(values['context-prefix'] ?? outputs?.context_prefix?.value ?? '/blitz'),
    shopOrigin: values['shop-origin'] ?? outputs?.shop_origins?.value[0],
    bind: {
      client: readClient('SMOKE_BIND_CLIENT'),
      callback: values['bind-callback'],
      provider: values['bind-provider'] ?? outputs?.bind_providers?.value[0],
    },
  };
}

/** @throws {Error} There is none. What is there instead is not repeated: it may be a secret. */
async function readToken(): Promise<string> {
  const token = await readSecret('token');
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new Error(
      '--token-stdin: standard input must hold a token, printable characters without a space, and nothing else.',
    );
  }
  return token;
}

/**
 * HTTP Basic of a client, from the environment: an argument would show its secret to every user of the machine.
 *
 * @throws {Error} It is not a client. What it is instead is not repeated: it may be a secret.
 */
function readClient(name: string): string | undefined {
  const client = process.env[name];
  // A CI job gives an unset secret as an empty string.
  if (client === undefined || client === '') return undefined;
  // An empty secret could not be kept out of what is printed.
  if (!/^[^:]+:./s.test(client)) throw new Error(`${name} must be <id>:<secret>.`);
  return `Basic ${Buffer.from(client).toString('base64')}`;
}

function isThisMachine(url: string): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])$/.test(URL.parse(url)?.hostname ?? '');
}

function readId(pair: string): [name: string, id: string] {
  const [, name, id] = /^([a-z0-9-]+)=([\w-]+)$/.exec(pair) ?? [];
  if (name === undefined || id === undefined) throw new Error('--function must be <name>=<id>.');
  return [name, id];
}

/** Where paths are added to. The text is not repeated: it may hold a password. */
function baseUrl(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(`${option} must be an http or https URL.`);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new Error(`${option} must be a URL without a user, a query and a fragment.`);
  }
  return url.href.replace(/[/?#]+$/, '');
}

/** A prefix without a slash in front would change the host that gets the credentials. */
function contextPrefixOf(text: string): string {
  if (!/^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/.test(text)) {
    throw new Error(
      '--context-prefix must be empty, or segments of letters, digits, -, _, . and ~, each after a slash, as /blitz.',
    );
  }
  return text;
}

function readRows(): z.infer<typeof FunctionsFile>['functions'] {
  return FunctionsFile.parse(parseYaml(readFileSync(FUNCTIONS_FILE, 'utf8'))).functions;
}

function readOutputs(path: string): z.infer<typeof Outputs> {
  const outputs = Outputs.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (outputs.success) return outputs.data;
  const [issue] = outputs.error.issues;
  throw new Error(`${path} is not what terraform output -json prints: ${issue?.path.join('.')}: ${issue?.message}.`);
}

try {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) process.stdout.write(USAGE);
  else await main(values);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = 1;
}
