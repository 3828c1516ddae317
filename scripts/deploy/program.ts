import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { StepFailure } from './step-failure.ts';

/**
 * Runs a program to its end, what it prints going where ours goes.
 *
 * @param stdin `inherit` gives it our standard input; it has none if not given.
 * @throws {StepFailure} With its exit status, where that is not 0.
 */
export async function runProgram(
  name: string,
  command: string,
  args: readonly string[],
  stdin: 'ignore' | 'inherit' = 'ignore',
): Promise<void> {
  await run(name, command, args, [stdin, 'inherit', 'inherit']);
}

/**
 * The same for a program that answers: what it prints on stdout is returned and not shown.
 *
 * @throws {StepFailure} With its exit status, where that is not 0.
 */
export async function askProgram(name: string, command: string, args: readonly string[]): Promise<string> {
  return await run(name, command, args, ['ignore', 'pipe', 'inherit']);
}

async function run(name: string, command: string, args: readonly string[], stdio: ('ignore' | 'inherit' | 'pipe')[]) {
  const child = spawn(command, args, { stdio });
  // A terminal interrupts the program too. It ends in its own time, such as Terraform, which lets go of its lock first.
  const wait = () => {};
  process.on('SIGINT', wait);
  try {
    const printed = child.stdout === null ? '' : text(child.stdout);
    const [status, signal] = await once(child, 'close');
    if (status !== 0) {
      throw new StepFailure(`${name} ended with ${signal ?? `status ${status}`}.`, Number(status ?? 1));
    }
    return await printed;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new StepFailure(`${name} is not installed: there is no ${command} on the PATH.`, 127);
    }
    throw error;
  } finally {
    process.off('SIGINT', wait);
  }
}
