/** Work that takes long: it says how far it is, and ends in order when it is interrupted. */
import { constants } from 'node:os';
import { endProgress, showProgress, tell } from './terminal.ts';

/** How often progress is told where there is no terminal, in milliseconds. */
const PROGRESS_MS = 5000;

/** The signals that end work in order: Ctrl-C, and what a supervisor sends. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

type EndingSignal = (typeof SIGNALS)[number];

/** The person has ended the work before it was done. The message says what was done, and where to go on. */
export class Interrupted extends Error {
  /** As a shell has it: 128 and the number of the signal. */
  readonly exitCode: number;

  constructor(signal: EndingSignal, message: string) {
    super(message);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** What long work says of itself. */
export interface WorkReport {
  /** How far it is, without a full stop. */
  readonly progress: () => string;
  /** What was done when it is interrupted, and where to go on: sentences. */
  readonly done: () => string;
}

/** What {@link doLongWork} gives to the work. */
export interface WorkControl {
  /** Aborted by an interrupt: what was begun is ended, and nothing more is begun. */
  readonly signal: AbortSignal;
  /** Shows at a terminal how far the work is. */
  readonly show: () => void;
}

/** The surroundings of long work. */
export interface WorkPorts {
  readonly isTerminal: boolean;
  /** Calls `work` every few seconds. Returns what ends that. */
  readonly repeat: (work: () => void) => () => void;
  /** Calls `listener` at the first interrupt; a second one ends the process at once. Returns what ends listening. */
  readonly onInterrupt: (listener: (signal: EndingSignal) => void) => () => void;
  /** Tells a sentence. */
  readonly tell: (sentence: string) => void;
}

/**
 * Does long work. Where there is no terminal, it tells every few seconds how far that is.
 *
 * @throws {Interrupted} After an interrupt, when what was begun has ended.
 */
export async function doLongWork<Result>(
  { progress, done }: WorkReport,
  work: (control: WorkControl) => Promise<Result>,
  ports: WorkPorts = processPorts(),
): Promise<Result> {
  const controller = new AbortController();
  let interruptedBy: EndingSignal | undefined;
  let isShown = false;
  const show = () => {
    isShown = true;
    showProgress(progress());
  };
  const stopListening = ports.onInterrupt((signal) => {
    interruptedBy = signal;
    controller.abort();
  });
  const stopRepeating = ports.isTerminal ? () => {} : ports.repeat(() => ports.tell(progress()));
  let result: Result;
  try {
    result = await work({ signal: controller.signal, show });
  } finally {
    stopRepeating();
    stopListening();
    if (isShown) endProgress();
  }
  if (interruptedBy !== undefined) throw new Interrupted(interruptedBy, `Interrupted: ${done()}`);
  return result;
}

function processPorts(): WorkPorts {
  return {
    isTerminal: process.stderr.isTTY === true,
    repeat(work) {
      const timer = setInterval(work, PROGRESS_MS);
      return () => clearInterval(timer);
    },
    onInterrupt(listener) {
      const stop = () => {
        for (const signal of SIGNALS) process.off(signal, interrupt);
      };
      const interrupt = (signal: EndingSignal) => {
        // From here on the system ends the process by itself.
        stop();
        listener(signal);
      };
      for (const signal of SIGNALS) process.on(signal, interrupt);
      return stop;
    },
    tell,
  };
}
