import { styleText } from 'node:util';

/**
 * A line that a function printed, for a person at a terminal: time, level, function, message, then the other fields.
 * What is no log line of ours stays as it is, behind the function's name. Coloured where the terminal takes colours;
 * control characters are made visible, for a caller may have written them.
 */
export function formatLogLine(functionName: string, line: string): string {
  const entry = parseEntry(line);
  if (entry === undefined) return `${styleText('dim', functionName)} ${visible(line)}`;
  const { timestamp, level, message, function: from = functionName, ...fields } = entry;
  const prefix = `${from}: `;
  const text = message.startsWith(prefix) ? message.slice(prefix.length) : message;
  return [
    styleText('dim', clock(timestamp)),
    styleText(COLOURS[level] ?? 'white', level.padEnd(5)),
    styleText('bold', visible(`${from}`)),
    visible(text),
    ...Object.entries(fields).map(([name, value]) => `${styleText('dim', `${name}=`)}${visible(printed(value))}`),
  ].join(' ');
}

const COLOURS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  INFO: 'green',
  WARN: 'yellow',
  ERROR: 'red',
};

interface Entry {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

function parseEntry(line: string): Entry | undefined {
  try {
    const entry = JSON.parse(line);
    return typeof entry?.level === 'string' && typeof entry?.message === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Hours to milliseconds of this machine's time, for one looks at what has just been done. */
function clock(timestamp: unknown): string {
  const time = new Date(String(timestamp));
  if (Number.isNaN(time.getTime())) return '--:--:--.---';
  return `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, '0')}`;
}

function printed(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

/** The platform joins the rows of a stack by carriage returns: they are rows again. */
function visible(text: string): string {
  return text
    .replaceAll('\r', '\n')
    .replace(/[^\P{C}\n\t]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
