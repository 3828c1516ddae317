import { type ParseArgsOptionDescriptor, parseArgs } from 'node:util';

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
} as const;

/** What the person at the command line has to mend. The message is a sentence for them, and holds no secret. */
export class UsageError extends Error {}

/** An option as `parseArgs` takes it and as the help shows it. */
export interface Option extends ParseArgsOptionDescriptor {
  /** What its value is called in the help; a boolean has none. */
  readonly value?: string;
  readonly help: string;
}

type Options = Readonly<Record<string, Option>>;

/** The options that every verb takes. */
export const COMMON_OPTIONS = {
  'data-dir': {
    type: 'string',
    value: '<folder>',
    help: 'the store and the peppers of an emulator (npm start: .data)',
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

/** Makes a verb of its options and of what it does with their values. */
export function defineVerb<const Given extends Options>(verb: {
  readonly summary: string;
  readonly options: Given;
  readonly notes: string;
  readonly run: (values: Values<Given & typeof COMMON_OPTIONS>) => Promise<Outcome>;
}): Verb {
  const options = { ...verb.options, ...COMMON_OPTIONS };
  return {
    summary: verb.summary,
    options,
    notes: verb.notes,
    async run(args) {
      const values = parseOptions(args, options);
      if (values.help === true) return 'help';
      // parseArgs gives each option a value of the type that its row asks for; its own types lose that in a generic.
      const outcome = await verb.run(values as Values<Given & typeof COMMON_OPTIONS>);
      return { outcome, asJson: values.json === true };
    },
  };
}

function parseOptions(args: readonly string[], options: Options) {
  try {
    const { values, tokens } = parseArgs({ args: [...args], options, tokens: true });
    const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
    const repeated = names.find((name, index) => names.indexOf(name) !== index);
    // The last would win, and the other subject go on unrevoked.
    if (repeated !== undefined) throw new UsageError(`--${repeated} is given twice.`);
    return values;
  } catch (error) {
    if (!(error instanceof TypeError && 'code' in error)) throw error;
    if (error.code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      // Its value may be a token that should have come by standard input.
      throw new UsageError('There is an argument too many: all is given by options, a token by --token-stdin.');
    }
    throw new UsageError(error.message.replace(/\s*\n/g, ' '));
  }
}

/** The options of a verb for its help, aligned. */
export function describeOptions(options: Options): string {
  return formatRows(
    Object.entries(options).map(([name, { value, short, help }]) => [
      [`--${name}`, value].filter(Boolean).join(' ') + (short === undefined ? '' : `, -${short}`),
      help,
    ]),
  );
}

/** Names and what they stand for, aligned. A row without a value is left out. */
export function formatRows(rows: readonly (readonly [name: string, value: string | undefined])[]): string {
  const given = rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `  ${name.padEnd(width)}  ${visible(value)}\n`).join('');
}

/** A time of ours, in seconds since the epoch, for people. */
export function formatTime(seconds: number): string {
  // Beyond what a date can be, an issuer's claim is shown as it is.
  return seconds > 8.64e12 ? `${seconds} s` : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** Names come from tokens and may hold what steers a terminal. */
function visible(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
