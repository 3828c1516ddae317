import { type ParseArgsOptionDescriptor, parseArgs } from 'node:util';
import type * as z from 'zod/mini';

/** How the command ends. 1 is not among them: Node and npm end so by themselves when they cannot even start it. */
export const EXIT = {
  /** Done; of `check`: not revoked. */
  done: 0,
  /** Nothing was done: the command line, a setting or the token is wrong, or it was not confirmed. */
  usage: 2,
  /** The store or an issuer failed: what was asked is not known to be done. */
  trouble: 3,
  /** Of `check`: revoked. */
  revoked: 4,
  /** Of `links show`, `outbox show` and `bindings forget`: there is none. */
  absent: 4,
  /** Part of it was not done: which, is on standard error; of `end-grant`, in the outcome. */
  partly: 5,
} as const;

/** What the person at the command line has to mend. The message is a sentence for them, and holds no secret. */
export class UsageError extends Error {}

/** A store has failed in the midst of many steps. The message tells what was done, and the cause how it failed. */
export class Unfinished extends Error {}

/** An option as `parseArgs` takes it and as the help shows it. */
export interface Option extends ParseArgsOptionDescriptor {
  /** What its value is called in the help; a boolean has none. */
  readonly value?: string;
  readonly help: string;
}

type Options = Readonly<Record<string, Option>>;

/** What a verb is about, given without a name: never a secret. */
export interface Operand {
  /** What it is called in the help. */
  readonly value: string;
  readonly help: string;
}

/** The options that every verb takes. */
export const COMMON_OPTIONS = {
  'data-dir': {
    type: 'string',
    value: '<folder>',
    help: 'the store and the keys of an emulator (npm start: .data)',
  },
  json: { type: 'boolean', help: 'print one JSON document, on one line' },
  help: { type: 'boolean', short: 'h', help: 'print this' },
} as const satisfies Options;

/** For a verb whose effect cannot be undone. */
export const YES_OPTION = { type: 'boolean', help: 'do not ask before it is done' } as const satisfies Option;

/** What a verb has to say when it is done. */
export interface Outcome {
  /** For programs, its fields in the spelling of the log. */
  readonly document: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly text: string;
  readonly exitCode?: (typeof EXIT)[keyof typeof EXIT];
}

/** One verb of the command line. */
export interface Verb {
  /** What it does, in one line. */
  readonly summary: string;
  readonly operand: Operand | undefined;
  readonly options: Options;
  /** What the help says besides. */
  readonly notes: string;
  /** @throws {UsageError} */
  run(args: readonly string[]): Promise<{ outcome: Outcome; asJson: boolean } | 'help'>;
}

/** What was given of options, in the type of each. */
type Values<Given extends Options> = {
  readonly [Name in keyof Given]?: (Given[Name]['type'] extends 'string' ? string : boolean) | undefined;
};

/** Makes a verb of its options and of what it does with their values, and with its operand if it takes one. */
export function defineVerb<const Given extends Options>(verb: {
  readonly summary: string;
  readonly operand?: Operand;
  readonly options: Given;
  readonly notes: string;
  readonly run: (values: Values<Given & typeof COMMON_OPTIONS>, operand: string) => Promise<Outcome>;
}): Verb {
  const options = { ...verb.options, ...COMMON_OPTIONS };
  return {
    summary: verb.summary,
    operand: verb.operand,
    options,
    notes: verb.notes,
    async run(args) {
      const { values, operands } = parseOptions(args, options, verb.operand !== undefined);
      if (values.help === true) return 'help';
      const operand = onlyOperand(operands, verb.operand);
      // parseArgs gives each option a value of the type that its row asks for; its own types lose that in a generic.
      const outcome = await verb.run(values as Values<Given & typeof COMMON_OPTIONS>, operand);
      return { outcome, asJson: values.json === true };
    },
  };
}

function onlyOperand(given: readonly string[], asked: Operand | undefined): string {
  const [operand, ...others] = given;
  if (asked === undefined) return '';
  if (operand === undefined) throw new UsageError(`${asked.value} is missing: ${asked.help}.`);
  if (others.length > 0) throw new UsageError(`There is an argument too many: this takes one ${asked.value}.`);
  return operand;
}

function parseOptions(args: readonly string[], options: Options, allowPositionals: boolean) {
  try {
    const parsed = parseArgs({ args: [...args], options, tokens: true, allowPositionals });
    const { values, tokens, positionals: operands } = parsed;
    const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    // The last would win, and the other subject go on unrevoked.
    if (repeated !== undefined) throw new UsageError(`--${repeated} is given twice.`);
    return { values, operands };
  } catch (error) {
    if (!(error instanceof TypeError && 'code' in error)) throw error;
    if (error.code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      // Its value may be a token that should have come by standard input.
      throw new UsageError('There is an argument too many: all is given by options, a token by --token-stdin.');
    }
    throw new UsageError(error.message.replace(/\s*\n/g, ' '));
  }
}

/**
 * The number that an option gives.
 *
 * @throws {UsageError}
 */
export function readCount(
  name: string,
  text: string | undefined,
  { standard, most }: { readonly standard: number; readonly most: number },
): number {
  if (text === undefined) return standard;
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > most) throw new UsageError(`--${name} must be a whole number from 1 to ${most}.`);
  return count;
}

/**
 * What an option gives, as a schema reads it whose messages are fixed texts: `must be …`.
 *
 * @throws {UsageError}
 */
export function readOption<Schema extends z.ZodMiniType>(
  name: string,
  text: string | undefined,
  schema: Schema,
): z.output<Schema> {
  if (text === undefined) throw new UsageError(`--${name} is missing.`);
  const { success, data, error } = schema.safeParse(text);
  if (success) return data;
  throw new UsageError(`--${name} ${error.issues[0]?.message}.`);
}

/** The operand and the options of a verb for its help, aligned. */
export function describeArguments({ operand, options }: Pick<Verb, 'operand' | 'options'>): string {
  return formatRows([
    ...(operand === undefined ? [] : [[operand.value, operand.help] as const]),
    ...Object.entries(options).map(
      ([name, { value, short, help }]) =>
        [[`--${name}`, value].filter(Boolean).join(' ') + (short === undefined ? '' : `, -${short}`), help] as const,
    ),
  ]);
}

/** Names and what they stand for, aligned. A row without a value is left out. */
export function formatRows(rows: readonly (readonly [name: string, value: string | undefined])[]): string {
  const given = rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `  ${name.padEnd(width)}  ${visible(value)}\n`).join('');
}

/** A table of what has several values each, aligned. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows.map((row) => row.map(visible))];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => `  ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** A time of ours, in seconds since the epoch, for people. */
export function formatTime(seconds: number): string {
  // Beyond what a date can be, an issuer's claim is shown as it is.
  return seconds > 8.64e12 ? `${seconds} s` : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** A text for people: names come from tokens and from other systems, and may hold what steers a terminal. */
export function visible(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
