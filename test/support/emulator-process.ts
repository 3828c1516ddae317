import { inject } from 'vitest';
import { type EmulatorProcess, endEmulator, startEmulatorProcess as start } from '#scripts/emulator-process.ts';
import { writeUnverifiedProject } from './emulated-project.ts';

/**
 * Starts the emulator with the built functions, which verify no tokens, in a process of its own, on free ports.
 *
 * @param only The functions that it runs; all, if not given.
 */
export function startEmulatorProcess(dataDir: string, only?: readonly string[]): Promise<EmulatorProcess> {
  return start(dataDir, `--bundles=${inject('bundles')}`, `--root=${writeUnverifiedProject(dataDir, only)}`);
}

/** Kills it as a power cut would, and waits until it is gone. */
export function killEmulator(emulator: EmulatorProcess): Promise<void> {
  return endEmulator(emulator, 'SIGKILL');
}
