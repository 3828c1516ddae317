import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { UsageError } from './verb.ts';

/**
 * Lets the person agree to what cannot be undone.
 *
 * @param question What will happen: sentences and rows.
 * @throws {UsageError} They did not, or there is no terminal to ask them at.
 */
export async function confirm(question: string, isAgreed: boolean | undefined): Promise<void> {
  if (isAgreed === true) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError('Nothing was done: there is no terminal to confirm it at; --yes does it without asking.');
  }
  process.stderr.write(`${question}This cannot be undone. `);
  const answer = await ask('Continue? [y/N] ');
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw new UsageError('Nothing was done.');
}

/** All of standard input, or a line that is typed unseen where that is a terminal. */
export async function readSecret(name: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).trim();
  const typed = await ask(`${name}: `, { isUnseen: true });
  process.stderr.write('\n');
  if (typed === undefined) throw new UsageError('Nothing was done.');
  return typed.trim();
}

/** Shows how far a long work is, on one line of a terminal. */
export function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${line}`);
}

/** Tells a sentence while the work goes on: a line of its own, in the place of {@link showProgress}'s at a terminal. */
export function tell(sentence: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${sentence}\n` : `${sentence}\n`);
}

/** Ends the line of {@link showProgress}. */
export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\n');
}

/** The line that is typed, or undefined when it is ended by Ctrl-C or Ctrl-D. */
async function ask(question: string, { isUnseen = false } = {}): Promise<string | undefined> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  // From here on the terminal itself echoes nothing, and not before is there a question.
  const lines = createInterface({ input: process.stdin, output: isUnseen ? nowhere : process.stderr, terminal: true });
  if (isUnseen) process.stderr.write(question);
  try {
    const closed = new Promise<undefined>((resolve) => {
      lines.once('close', () => resolve(undefined));
    });
    return await Promise.race([lines.question(question).catch(() => undefined), closed]);
  } finally {
    lines.close();
  }
}
