import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startPostgresServer } from '#test/support/postgres-server.ts';
import { ensureServices } from '#test/support/test-services.ts';
import { build } from '../build.ts';
import { migrate } from '../migrate.ts';
import type { LinkBenchOrders, LinkBenchRow } from './links-process.ts';

const USAGE = `npm run bench:links -- [--short] [--json]

  --short  a quick look instead of a measurement
  --json   one JSON document instead of tables
`;

/**
 * List, link and delete through the built handlers, each with its log line and a JWT that is verified, beside the one
 * prepared statement of the same database that does the heart of it. In turns, in one process, on private databases.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  ensureServices();
  const folder = mkdtempSync(join(tmpdir(), 'bench-links-'));
  const server = await startPostgresServer();
  try {
    const effort = values.short ? { rounds: 5, calls: 40 } : { rounds: 21, calls: 200 };
    const results: { store: string; rows: LinkBenchRow[] }[] = [];
    for (const [store, url] of [
      ['sqlite', `sqlite:${join(folder, 'directory.sqlite')}`],
      ['postgres', server.url],
    ] as const) {
      await migrate(url);
      const bundles = join(folder, store);
      await build({ stores: [store], outDir: bundles });
      const rows = await measure({ url, bundles, ...effort });
      results.push({ store, rows });
      if (!values.json) printTable(store, rows);
    }
    if (values.json)
      console.log(JSON.stringify({ node: process.version, cpus: cpus().length, effort, results }, null, 2));
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In a process whose output, the log lines of the handlers, goes nowhere. */
async function measure(orders: LinkBenchOrders): Promise<LinkBenchRow[]> {
  const nowhere = openSync('/dev/null', 'w');
  const child = fork(fileURLToPath(import.meta.resolve('./links-process.ts')), {
    stdio: ['ignore', nowhere, 'inherit', 'ipc'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  child.send(orders);
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the measuring process ended with ${code}`);
  });
  // It sends nothing else.
  const [rows] = (await Promise.race([once(child, 'message'), ended])) as [LinkBenchRow[]];
  ended.catch(() => {});
  child.kill();
  return rows;
}

function printTable(store: string, rows: readonly LinkBenchRow[]): void {
  console.log(`\n${store}${''.padEnd(12 - store.length)}   handler      raw statement   handler / raw`);
  for (const { operation, handlerUs, rawUs } of rows) {
    const ratio = (rawUs / handlerUs).toFixed(2);
    console.log(`  ${operation.padEnd(10)} ${microseconds(handlerUs)} ${microseconds(rawUs)}        ${ratio}`);
  }
}

function microseconds(value: number): string {
  return `${value.toFixed(0).padStart(9)} µs`;
}

await main();
