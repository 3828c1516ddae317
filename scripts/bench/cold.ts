import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type BuildOptions, build as esbuild } from 'esbuild';
import { SignJWT } from 'jose';
import { BUNDLE_OPTIONS, bundleFunction, functionNames } from '../build.ts';
import { AUDIENCE } from './events.ts';
import type { Figure } from './figures.ts';
import { SETTINGS } from './product.ts';
import { median, shuffled } from './statistics.ts';
import type { Surroundings } from './surroundings.ts';

/** One entry on one store: medians, in milliseconds from the start of the process. */
export interface ColdRow {
  readonly store: ColdStore;
  readonly name: string;
  readonly bytes: number;
  readonly load: number;
  readonly call: number;
  readonly total: number;
  /** Above the no-op. */
  readonly above: number;
  /** The resident memory after the first call. */
  readonly megabytes: number;
}

/** Memory keeps nothing: what it costs says nothing of a deployment. */
const COLD_STORES = ['sqlite', 'postgres', 'redis', 'dynamodb'] as const;
type ColdStore = (typeof COLD_STORES)[number];

const PROCESS = join(import.meta.dirname, 'cold-process.cjs');

const SECRET = 'obviously-fake-secret-of-a-client';
const CLIENTS = JSON.stringify([
  {
    id: 'bench',
    secret_sha256: createHash('sha256').update(SECRET).digest('hex'),
    scopes: ['introspect', 'blitz_api_sys_ufa', 'blitz_api_sys_ufa_chg'],
  },
]);
const BASIC = `Basic ${Buffer.from(`bench:${SECRET}`).toString('base64')}`;
const BEARER = 'Bearer 123qwe456a...';

/** A token of the client. */
const TOKEN = await new SignJWT({ iss: SETTINGS.ISSUER, aud: AUDIENCE, sub: 'ann', client_id: 'bench', jti: 'jti-1' })
  .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
  .setIssuedAt()
  .setExpirationTime('24h')
  .sign(Buffer.from(SECRET));

/** What an issuer takes to answer is not measured: tokens are not verified, or by a key that is at hand. */
const UNVERIFIED = { UNVERIFIED_TOKENS: '1' };
const OF_AN_ISSUER = {
  ISSUERS: JSON.stringify([{ issuer: SETTINGS.ISSUER, audience: AUDIENCE, secret: SECRET }]),
  CLIENTS,
};

/** The first call of a function, and what it is told. */
interface FirstCall {
  readonly event: object;
  readonly environment: Readonly<Record<string, string>>;
  /** It needs the directory, which Redis has none of. */
  readonly isOfDirectory?: boolean;
  /** The refusal that it is answered with. */
  readonly refusal?: number;
}

function raw(request_type: string, authorization: string, payload?: object): object {
  return { headers: { request_id: '1111-aaaa-2222-bbbb', authorization }, request_type, api_version: 1.0, payload };
}

function ofLinks(operation: string): FirstCall {
  const payload = { subjectId: 'ann', fpType: 'vk', fpName: 'vk_1', sid: `of-${operation}` };
  const event = raw(`external-provider.${operation}`, BASIC, payload);
  return { event, environment: OF_AN_ISSUER, isOfDirectory: true };
}

const UNLINK: FirstCall = { event: raw('unlink', BEARER), environment: UNVERIFIED };

/** The references get the unlink. A function that is not here is not measured: it needs other servers, or a browser. */
const FIRST_CALLS: Readonly<Record<string, FirstCall>> = {
  'smart-home-unlink': UNLINK,
  'token-authorize': { event: { headers: { Authorization: BEARER }, requestContext: {} }, environment: UNVERIFIED },
  'token-revoke': { event: raw('token.revoke', BASIC, { token: TOKEN }), environment: OF_AN_ISSUER },
  'token-introspect': { event: raw('token.introspect', BASIC, { token: TOKEN }), environment: OF_AN_ISSUER },
  'external-provider-list': ofLinks('list'),
  'external-provider-link': ofLinks('link'),
  // Of a link that is not there: each start is to find the same.
  'external-provider-delete': { ...ofLinks('delete'), refusal: 404 },
  maintenance: { event: {}, environment: {}, isOfDirectory: true },
};

/** The functions whose first call nothing is known to make. */
export function unmeasuredFunctions(): string[] {
  return functionNames().filter((name) => !(name in FIRST_CALLS));
}

interface Entry {
  readonly store: ColdStore;
  readonly name: string;
  readonly bundle: string;
  readonly bytes: number;
  readonly event: object;
  readonly env: Readonly<Record<string, string>>;
  readonly refusal: number | undefined;
}

/** Cold starts of every entry on every store, all of them in turns: each function, a no-op, the lean entry, the usual stack. */
export async function measureColdStarts(surroundings: Surroundings, runs: number): Promise<ColdRow[]> {
  const entries = await prepareEntries(surroundings);
  const samples = entries.map((): ColdStart[] => []);
  for (let run = -1; run < runs; run += 1) {
    for (const [index, entry] of shuffled([...entries.entries()])) {
      const start = await coldStart(entry);
      // The first round fills the file cache.
      if (run >= 0) samples[index]?.push(start);
    }
  }
  const medians = entries.map(({ store, name, bytes }, index) => {
    const of = (field: Exclude<keyof ColdStart, 'underLoad'>) =>
      median((samples[index] ?? []).map((start) => start[field]));
    return { store, name, bytes, load: of('load'), call: of('call'), total: of('total'), megabytes: of('megabytes') };
  });
  return medians.map((row) => {
    const noOp = medians.find(({ store, name }) => store === row.store && name === 'no-op');
    return { ...row, above: row.total - (noOp?.total ?? Number.NaN) };
  });
}

/** The memory of a function that has had so many calls, told on the way. */
export interface MemoryRow {
  readonly store: ColdStore;
  readonly name: string;
  readonly calls: number;
  /** Resident, in megabytes: after each tenth of the calls. */
  readonly megabytes: readonly number[];
}

/** The memory of functions under load: of every store, each in a process of its own. */
export async function measureMemory(surroundings: Surroundings, calls: number): Promise<MemoryRow[]> {
  const entries = await prepareEntries(surroundings);
  const rows: MemoryRow[] = [];
  for (const entry of entries.filter(({ name }) => name === 'smart-home-unlink' || name === 'token-authorize')) {
    const { underLoad } = await coldStart(entry, calls);
    rows.push({ store: entry.store, name: entry.name, calls, megabytes: underLoad });
  }
  return rows;
}

/** Cold starts and memory are of the same bundles. */
const prepared = new WeakMap<Surroundings, Promise<Entry[]>>();

function prepareEntries(surroundings: Surroundings): Promise<Entry[]> {
  const known = prepared.get(surroundings);
  if (known !== undefined) return known;
  const entries = Promise.all(COLD_STORES.map((store) => prepareStore(store, surroundings))).then((all) => all.flat());
  prepared.set(surroundings, entries);
  return entries;
}

async function prepareStore(store: ColdStore, { folder, openStore, dynamodbStub }: Surroundings): Promise<Entry[]> {
  const outDir = join(folder, 'cold', store);
  // What a server takes to answer is not measured.
  const url = store === 'dynamodb' ? dynamodbStub : await openStore(store, folder);
  const env = { ...SETTINGS, STORE_URL: url };
  const names = Object.keys(FIRST_CALLS).filter((name) => store !== 'redis' || !FIRST_CALLS[name]?.isOfDirectory);
  const functions = names.map(async (name): Promise<Entry> => {
    const { event, environment, refusal } = FIRST_CALLS[name] ?? UNLINK;
    const { files } = await bundleFunction(name, { stores: [store], outDir });
    const bytes = Object.values(files).reduce((sum, content) => sum + content.length, 0);
    return {
      store,
      name,
      bundle: join(outDir, name, 'index.js'),
      bytes,
      event,
      env: { ...env, ...environment },
      refusal,
    };
  });
  const references = [
    ['no-op', 'entries/no-op.ts'],
    ['lean', `entries/lean-${store}.ts`],
    ...(store === 'dynamodb' ? [['usual stack', 'peers/usual-dynamodb.js']] : []),
  ].map(async ([name = '', source = '']): Promise<Entry> => {
    const bundle = join(outDir, name.replace(' ', '-'), 'index.js');
    const options = name === 'usual stack' ? USUAL_OPTIONS : BUNDLE_OPTIONS;
    await esbuild({ ...options, entryPoints: [join(import.meta.dirname, source)], outfile: bundle });
    return { store, name, bundle, bytes: statSync(bundle).size, event: UNLINK.event, env, refusal: undefined };
  });
  return Promise.all([...references, ...functions]);
}

/** How the usual stack is bundled: as esbuild does it for Node when nothing else is asked for. */
const USUAL_OPTIONS: BuildOptions = { bundle: true, minify: true, platform: 'node', target: 'node22', format: 'cjs' };

/** In milliseconds and megabytes. */
interface ColdStart {
  readonly load: number;
  readonly call: number;
  readonly total: number;
  readonly megabytes: number;
  readonly underLoad: readonly number[];
}

async function coldStart({ name, store, bundle, event, env, refusal }: Entry, calls = 0): Promise<ColdStart> {
  // The lines of many calls are for nobody.
  const stdout = calls === 0 ? 'pipe' : openSync('/dev/null', 'w');
  const child = spawn(process.execPath, [PROCESS, bundle, JSON.stringify(event), `${calls}`], {
    env,
    stdio: ['ignore', stdout, 'pipe', 'pipe'],
  });
  // They are there where they are piped, and nothing is written to the last one.
  const streams = child.stdio.slice(1).map((stream) => (stream === null ? '' : text(stream as Readable)));
  const [printed, said, told] = await Promise.all(streams);
  if (told === undefined || told === '') throw new Error(`${name} on ${store} failed: ${printed}${said}`);
  const { answer, ...measured } = JSON.parse(told);
  if (answer.status >= 400 && answer.status !== refusal)
    throw new Error(`${name} on ${store} refused its call: ${JSON.stringify(answer)}`);
  return measured;
}

/** The largest bundle of one function with its driver, in kilobytes. */
const BUNDLE_GOALS: Readonly<Partial<Record<ColdStore, number>>> = { sqlite: 142, postgres: 223, redis: 266 };

/** The ratios that cold starts are judged by, and the sizes. */
export function coldFigures(rows: readonly ColdRow[]): Figure[] {
  const find = (store: string, name: string) => rows.find((row) => row.store === store && row.name === name);
  const usual = find('dynamodb', 'usual stack');
  return rows
    .filter(({ name }) => name in FIRST_CALLS)
    .flatMap((row): Figure[] => {
      const isUnlink = row.name === 'smart-home-unlink';
      const of = `cold start of ${row.name}, ${row.store}`;
      const against = (other: ColdRow | undefined) => row.above / (other?.above ?? Number.NaN);
      const sizes: Figure[] = [
        {
          name: `bundle of ${row.name}, ${row.store}`,
          ...{
            value: row.bytes / 1000,
            unit: 'KB',
            better: 'less',
            goal: isUnlink ? BUNDLE_GOALS[row.store] : undefined,
          },
        },
        { name: `memory, ${of}`, value: row.megabytes, unit: 'MB', better: 'less', goal: 56 },
      ];
      return [
        {
          name: `${of} / lean`,
          ...{ value: against(find(row.store, 'lean')), unit: '×', better: 'less', goal: isUnlink ? 1.25 : undefined },
        },
        {
          name: `${of} / usual stack on the DynamoDB API`,
          ...{ value: against(usual), unit: '×', better: 'less', goal: isUnlink ? 0.2 : undefined },
        },
        ...sizes,
      ];
    });
}

/** Of functions under load. A soak's growth is its last tenth over its second. */
export function memoryFigures(rows: readonly MemoryRow[]): Figure[] {
  return rows.flatMap(({ store, name, calls, megabytes }): Figure[] => {
    const [, second = Number.NaN] = megabytes;
    const last = megabytes.at(-1) ?? Number.NaN;
    const under = `memory of ${name}, ${store}`;
    return [
      { name: `${under}, under load`, value: Math.max(...megabytes), unit: 'MB', better: 'less', goal: 120 },
      ...(calls < SOAK_CALLS
        ? []
        : [
            {
              name: `${under}, growth over a soak`,
              value: last / second,
              unit: '×',
              better: 'less',
              goal: 1.1,
            } as const,
          ]),
    ];
  });
}

/** So many calls show whether memory grows. */
export const SOAK_CALLS = 1_000_000;
