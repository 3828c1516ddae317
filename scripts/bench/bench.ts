import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type CallRow, callFigures, type Effort, measureAllCalls } from './calls.ts';
import { drawChart } from './chart.ts';
import {
  type ColdRow,
  coldFigures,
  type MemoryRow,
  measureColdStarts,
  measureMemory,
  memoryFigures,
  SOAK_CALLS,
  unmeasuredFunctions,
} from './cold.ts';
import { compareFigures, type Figure } from './figures.ts';
import { type GrowthRow, type GrowthSizes, growthFigures, measureGrowth } from './growth.ts';
import { installPeers, versions } from './peers.ts';
import { LINK_COUNTS } from './side.ts';
import { type Surroundings, startSurroundings } from './surroundings.ts';
import { callsTable, coldTable, figuresTable, growthTable, memoryTable } from './tables.ts';

const USAGE = `npm run bench -- [cold] [calls] [growth] [memory] [--short] [--soak] [--write] [--json] [--out <file>]

  cold, calls, growth, memory   what to measure, default: all of it
  --short       a quick look instead of a measurement
  --soak        a million calls of each function whose memory is watched
  --write       makes this run the one that later ones are compared with, and draws the chart
  --out <file>  writes the results there
  --json        one JSON document instead of tables

Each driver beside its raw client: npm run bench:stores. The emulator: npm run bench:emulator.
`;

const RESULTS = join(import.meta.dirname, 'results.json');
const CHART = join(import.meta.dirname, '../../docs/images/bench.svg');

/** What one run came to. A section that was not measured is not there. */
interface Results {
  /** Where, when and with what. */
  readonly made: {
    readonly on: string;
    readonly machine: string;
    readonly node: string;
    readonly isShort: boolean;
    /** Of the machine over the last minute, when the run began and when it ended. */
    readonly load: readonly number[];
    readonly versions: Readonly<Record<string, string>>;
  };
  readonly figures: readonly Figure[];
  readonly cold?: readonly ColdRow[];
  readonly calls?: readonly Omit<CallRow, 'rounds'>[];
  readonly growth?: readonly GrowthRow[];
  readonly memory?: readonly MemoryRow[];
}

/** How much is measured of what. */
interface Plan extends GrowthSizes {
  readonly coldRuns: number;
  readonly calls: Effort;
  readonly growth: Effort;
  readonly memoryCalls: number;
}

const WHOLE: Plan = {
  coldRuns: 15,
  // A call is compiled to its end after some thousands.
  calls: { warmUps: 9, rounds: 7, roundMs: 150 },
  growth: { warmUps: 6, rounds: 7, roundMs: 150 },
  sizes: [1000, 100_000, 1_000_000],
  linkCounts: LINK_COUNTS,
  memoryCalls: 20_000,
};

const SHORT: Plan = {
  coldRuns: 2,
  calls: { warmUps: 4, rounds: 3, roundMs: 30 },
  growth: { warmUps: 1, rounds: 2, roundMs: 20 },
  sizes: [1000, 10_000],
  linkCounts: [1, 10],
  memoryCalls: 2000,
};

/** A part of a run: what it measured, as tables and figures. */
interface Section {
  readonly results: Partial<Results>;
  readonly table: string;
  readonly figures: readonly Figure[];
}

const SECTIONS: Readonly<Record<string, (surroundings: Surroundings, plan: Plan) => Promise<Section>>> = {
  async cold(surroundings, { coldRuns }) {
    const cold = await measureColdStarts(surroundings, coldRuns);
    return { results: { cold }, table: coldTable(cold), figures: coldFigures(cold) };
  },
  async calls(surroundings, plan) {
    const rows = await measureAllCalls(surroundings, plan.calls);
    const calls = rows.map(({ rounds: _, ...row }) => row);
    return { results: { calls }, table: callsTable(rows), figures: callFigures(rows) };
  },
  async growth(surroundings, plan) {
    const growth = await measureGrowth(surroundings, plan, plan.growth);
    return { results: { growth }, table: growthTable(growth), figures: growthFigures(growth) };
  },
  async memory(surroundings, { memoryCalls }) {
    const memory = await measureMemory(surroundings, memoryCalls);
    return { results: { memory }, table: memoryTable(memory), figures: memoryFigures(memory) };
  },
};

/** The command line. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      short: { type: 'boolean', default: false },
      soak: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const isKnown = positionals.every((name) => name in SECTIONS);
  if (values.help || !isKnown) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  if (values.write && positionals.length > 0) throw new Error('--write needs a run of all sections');
  installPeers();
  const names = positionals.length === 0 ? Object.keys(SECTIONS) : positionals;
  const plan = values.short ? SHORT : WHOLE;
  const print = values.json ? () => {} : (text: string) => console.log(text);
  const results = await run(names, { ...plan, ...(values.soak && { memoryCalls: SOAK_CALLS }) }, values.short, print);
  report(results, print);
  const document = `${JSON.stringify(results, null, 2)}\n`;
  if (values.json) process.stdout.write(document);
  if (values.out !== undefined) writeFileSync(values.out, document);
  if (values.write) keep(results, document);
}

async function run(
  names: readonly string[],
  plan: Plan,
  isShort: boolean,
  print: (text: string) => void,
): Promise<Results> {
  const load = [loadavg()[0] ?? Number.NaN];
  const made = {
    on: new Date().toISOString().slice(0, 10),
    machine: machine(),
    node: process.version,
    isShort,
    load,
    versions: versions(),
  };
  let results: Results = { made, figures: [] };
  print(`${made.machine}, Node ${made.node}, load ${load[0]?.toFixed(1)}${isShort ? ', a short run' : ''}`);
  const surroundings = await startSurroundings();
  try {
    for (const name of names) {
      const section = await SECTIONS[name]?.(surroundings, plan);
      if (section === undefined) continue;
      print(`\n${name}\n\n${section.table}`);
      results = { ...results, ...section.results, figures: [...results.figures, ...section.figures] };
    }
  } finally {
    await surroundings.end();
  }
  load.push(loadavg()[0] ?? Number.NaN);
  return results;
}

function machine(): string {
  const [processor] = cpus();
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return `${processor?.model.trim()}, ${cpus().length} processors, ${gigabytes} GiB, ${process.platform} ${process.arch}`;
}

/** Says how each figure stands to its goal and to the run that is committed. */
function report({ figures }: Results, print: (text: string) => void): void {
  const committed: Results | undefined = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : undefined;
  const compared = compareFigures(figures, committed?.figures ?? []);
  print(`\nratios inside this run, and sizes\n\n${figuresTable(compared)}`);
  const worsened = compared.filter((one) => one.worsened).length;
  if (committed === undefined) print('\nThere is no run to compare with.');
  else print(`\n${worsened} more than a quarter worse than on ${committed.made.on} (${committed.made.machine}).`);
  const left = unmeasuredFunctions();
  if (left.length > 0) print(`No cold start is measured, as they need other servers or a browser: ${left.join(', ')}.`);
}

function keep({ calls, made }: Results, document: string): void {
  writeFileSync(RESULTS, document);
  mkdirSync(dirname(CHART), { recursive: true });
  writeFileSync(CHART, drawChart(calls ?? [], `${made.machine}, Node ${made.node}, ${made.on}. npm run bench`));
}

await main();
