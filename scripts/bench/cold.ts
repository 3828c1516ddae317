import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { build as esbuild } from 'esbuild';
import { BUNDLE_OPTIONS, build, DRIVERS, type Driver, functionNames } from '../build.ts';
import { migrateSqlite } from '../migrate.ts';

/**
 * Cold starts of each function on each store beside a no-op and beside a lean entry that does the same work: process
 * start → loaded → first call done. `npm run bench:cold -- [--runs 20] [--json]`.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { runs: { type: 'string', default: '20' }, json: { type: 'boolean', default: false } },
  });
  const folder = mkdtempSync(join(tmpdir(), 'unlink-bench-'));
  try {
    const results = [];
    for (const [store, open] of Object.entries(STORES)) {
      results.push(await measureStore(store as Driver, open, folder, Number(values.runs)));
    }
    const left = [
      ...DRIVERS.filter((driver) => driver !== 'memory' && STORES[driver] === undefined),
      ...functionNames().filter((name) => !(name in FIRST_CALLS)),
    ];
    if (values.json) console.log(JSON.stringify(results, null, 2));
    else for (const result of results) printTable(result);
    if (left.length > 0) console.error(`not measured, nothing is known to open or call them with: ${left.join(', ')}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** How a store is made for a run, and its URL. Memory keeps nothing: what it costs says nothing of a deployment. */
const STORES: Readonly<Partial<Record<Driver, (folder: string) => string>>> = {
  sqlite(folder) {
    const path = join(folder, 'unlink.sqlite');
    migrateSqlite(path);
    return `sqlite:${path}`;
  },
};

const PROCESS = join(import.meta.dirname, 'cold-process.cjs');

/** Tokens are not verified: what an issuer takes to answer is not measured. */
const ENVIRONMENT = {
  TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'p').toString('base64')}`,
  UNVERIFIED_TOKENS: '1',
};

/** The first call of each function; the references get the unlink. One that is not here is not measured. */
const ENVELOPE = {
  headers: { request_id: '1111-aaaa-2222-bbbb', authorization: 'Bearer 123qwe456a...' },
  request_type: 'unlink',
  api_version: 1.0,
};
const FIRST_CALLS: Readonly<Record<string, unknown>> = {
  'smart-home-unlink': ENVELOPE,
  'token-authorize': { headers: { Authorization: 'Bearer 123qwe456a...' }, requestContext: {} },
};

interface Entry {
  readonly name: string;
  readonly bundle: string;
  readonly bytes: number;
  readonly env: Readonly<Record<string, string>>;
}

/** Milliseconds. */
interface Times {
  readonly load: number;
  readonly call: number;
  readonly total: number;
}

interface Result {
  readonly store: string;
  readonly runs: number;
  readonly entries: readonly (Times & {
    readonly name: string;
    readonly bytes: number;
    /** Above the no-op, in milliseconds. */
    readonly above: number;
    /** That, as a multiple of the lean entry's. */
    readonly ratio: number;
  })[];
}

async function measureStore(
  store: Driver,
  open: (folder: string) => string,
  folder: string,
  runs: number,
): Promise<Result> {
  const entries = await prepareEntries(store, open(folder), folder);
  const samples = new Map(entries.map(({ name }): [string, Times[]] => [name, []]));
  for (let run = -1; run < runs; run += 1) {
    for (const entry of shuffled(entries)) {
      const times = await coldStart(entry);
      // The first round fills the file cache.
      if (run >= 0) samples.get(entry.name)?.push(times);
    }
  }
  const medians = entries.map(({ name, bytes }) => ({ name, bytes, ...mediansOf(samples.get(name) ?? []) }));
  const [noOp, lean] = medians;
  if (noOp === undefined || lean === undefined) throw new Error('there is nothing to compare with');
  return {
    store,
    runs,
    entries: medians.map((entry) => {
      const above = entry.total - noOp.total;
      return { ...entry, above, ratio: above / (lean.total - noOp.total) };
    }),
  };
}

async function prepareEntries(store: Driver, url: string, folder: string): Promise<Entry[]> {
  const outDir = join(folder, store);
  const { functions } = await build({ stores: [store], outDir });
  const env = { ...ENVIRONMENT, STORE_URL: url };
  const references = ['no-op', `lean-${store}`].map(async (name) => {
    const bundle = join(outDir, name, 'index.js');
    const entry = join(import.meta.dirname, 'entries', `${name}.ts`);
    await esbuild({ ...BUNDLE_OPTIONS, entryPoints: [entry], outfile: bundle });
    return { name, bundle, bytes: statSync(bundle).size, env };
  });
  const measured = functions
    .filter(({ name }) => name in FIRST_CALLS)
    .map(({ name, bytes }) => ({ name, bytes, bundle: join(outDir, name, 'index.js'), env }));
  return [...(await Promise.all(references)), ...measured];
}

async function coldStart({ name, bundle, env }: Entry): Promise<Times> {
  const event = JSON.stringify(FIRST_CALLS[name] ?? ENVELOPE);
  const child = spawn(process.execPath, [PROCESS, bundle, event], { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  // The four are there: they are piped, and nothing is written to the last one.
  const [stdout, stderr, times] = child.stdio.slice(1).map((stream) => text(stream as Readable));
  const [printed, said, told] = await Promise.all([stdout, stderr, times]);
  if (told === undefined || told === '') throw new Error(`${name} failed: ${printed}${said}`);
  const { answer, ...measured } = JSON.parse(told);
  if (answer.status >= 400) throw new Error(`${name} refused its call: ${JSON.stringify(answer)}`);
  return measured;
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}

function mediansOf(samples: readonly Times[]): Times {
  const median = (field: keyof Times) => {
    const sorted = samples.map((times) => times[field]).sort((one, other) => one - other);
    const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
    return middle.reduce((sum, value) => sum + value, 0) / middle.length;
  };
  return { load: median('load'), call: median('call'), total: median('total') };
}

function printTable({ store, runs, entries }: Result): void {
  console.log(`\n${store}, medians of ${runs} cold starts in random order, ms\n`);
  console.log('entry                       KB    load    call   total   above no-op   of lean');
  for (const { name, bytes, load, call, total, above, ratio } of entries) {
    const columns = [
      name.padEnd(24),
      (bytes / 1000).toFixed(1).padStart(5),
      ...[load, call, total].map((time) => time.toFixed(1).padStart(7)),
      above.toFixed(1).padStart(13),
      ratio.toFixed(2).padStart(9),
    ];
    console.log(columns.join(' '));
  }
}

await main();
