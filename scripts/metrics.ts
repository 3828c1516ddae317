import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createCounter } from './metrics/count.ts';

const HELP = `npm run --silent metrics -- [<file>]

Counts log lines, of a file or of standard input: as the functions print them, or entries of Cloud Logging, one a line
(yc logging read --format json | jq -c '.[]'). Prints the metrics of docs/operations.md in Prometheus' text format.
`;

/** The command line. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { help: { type: 'boolean' } }, allowPositionals: true });
  if (values.help) return void process.stdout.write(HELP);
  const [file] = positionals;
  const counter = createCounter();
  const input = file === undefined ? process.stdin : createReadStream(file);
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) counter.count(line);
  process.stdout.write(`${counter.text()}\n`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
