/**
 * Calls a built function in a process whose stack its starter chooses: `<bundle>` and events in JSON are its
 * arguments. The last line that it prints is the list of what the function answered.
 */
import { createRequire } from 'node:module';

type Handler = (event: unknown, context: object) => Promise<unknown>;

const [, , bundle = '', ...events] = process.argv;
// What a bundle exports, and what the starter gives.
const { handler } = createRequire(import.meta.url)(bundle) as { handler: Handler };
const context = {
  requestId: 'platform-1',
  functionName: 'function',
  functionVersion: 'version',
  getRemainingTimeInMillis: () => 5000,
};

const answers: unknown[] = [];
for (const event of events) {
  answers.push(await handler(JSON.parse(event), context).catch((error: Error) => `thrown: ${error.message}`));
}
process.stdout.write(`${JSON.stringify(answers)}\n`);
