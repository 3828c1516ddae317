import { existsSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { styleText } from 'node:util';
import { type BuildFailure, formatMessages } from 'esbuild';
import { bundleFunction, functionNames } from './build.ts';
import type { Emulator } from './emulator/emulator.ts';
import { readFunctionsFile } from './emulator/functions-file.ts';
import { readGatewayFile } from './emulator/gateway-file.ts';
import { StartError } from './emulator/start-error.ts';
import {
  configurationFiles,
  exitOnSignals,
  type LocalSettings,
  placeholderValues,
  readLocalSettings,
  runProgram,
  startLocalEmulator,
} from './local-emulator.ts';
import { formatLogLine } from './log-line.ts';

const WATCHED = ['functions', 'shared', 'infra'];

/** Editors write a file in several steps, and a switch of branches writes many: they count as one change. */
const SETTLE_MS = 20;

/**
 * The command line: runs the functions in the emulator, and what changes in their sources or their configuration as
 * soon as it is saved. What is broken is said, and the old code runs on.
 */
async function main(): Promise<void> {
  // Not `dist`: no zip there would be of this code.
  const bundles = mkdtempSync(join(tmpdir(), 'unlink-dev-'));
  process.once('exit', () => rmSync(bundles, { recursive: true, force: true }));
  const settings = { ...readLocalSettings('npm run dev --'), bundles };
  const code = createCode(settings);
  const broken = await code.rebuild(new Set());
  if (broken.length > 0) throw new StartError(broken.join('\n'));

  code.takeRebuilt();
  const first = await startLocalEmulator(settings, printLine);
  let emulator: Emulator | undefined = first;
  const running = {
    ...settings,
    port: portOf(first.functionsUrl),
    gatewayPort: portOf(first.gatewayUrl),
    authPort: first.authUrl === undefined ? settings.authPort : portOf(first.authUrl),
    homeserverPort: first.matrix === undefined ? settings.homeserverPort : portOf(first.matrix.homeserverUrl),
    identityPort: first.matrix === undefined ? settings.identityPort : portOf(first.matrix.identityUrl),
  };
  exitOnSignals(async () => emulator?.close());

  async function apply(changed: ReadonlySet<string>): Promise<void> {
    const startedAt = performance.now();
    const errors = await code.rebuild(changed);
    const done = [];
    const configuration = configurationFiles(settings);
    const isReconfigured = changed.has(configuration.functionsFile) || changed.has(configuration.gatewayFile);
    const names = code.takeRebuilt();
    if (emulator === undefined || isReconfigured) {
      assertConfiguration(running);
      await emulator?.close();
      emulator = undefined;
      emulator = await startLocalEmulator(running, printLine);
      done.push('restarted the emulator');
    } else {
      const reloads = await Promise.allSettled(names.map(emulator.reload));
      const reloaded = names.filter((_, index) => reloads[index]?.status === 'fulfilled');
      errors.push(...reloads.flatMap((reload) => (reload.status === 'rejected' ? messageOf(reload.reason) : [])));
      if (reloaded.length > 0) done.push(`reloaded ${reloaded.join(', ')}`);
    }
    if (errors.length > 0) printError(errors.join('\n'));
    const time = Math.round(performance.now() - startedAt + SETTLE_MS);
    if (done.length > 0) console.log(styleText('cyan', `${done.join(', ')} in ${time} ms`));
  }

  watchProject(settings.root, async (changed) => {
    await apply(changed).catch((error: unknown) => printError(messageOf(error), emulator !== undefined));
  });
  const others = [
    ['auth      ', first.authUrl],
    ['homeserver', first.matrix?.homeserverUrl],
    ['identity  ', first.matrix?.identityUrl],
  ].filter(([, url]) => url !== undefined);
  // Said last: from here on a change is seen.
  console.log(`
  functions  ${first.functionsUrl}/<function>?integration=raw   ${functionNames(settings.root).join(', ')}
  gateway    ${first.gatewayUrl}
${others.map(([name, url]) => `  ${name} ${url}\n`).join('')}
Changes in ${WATCHED.join(', ')} are run when they are saved. Ctrl-C ends it.
`);
}

/** The functions' code as built last, function by function. */
function createCode({ root, bundles }: LocalSettings) {
  const sourcesOf = new Map<string, ReadonlySet<string>>();
  const broken = new Set<string>();
  let rebuilt = new Set<string>();

  function isConcerned(name: string, changed: ReadonlySet<string>): boolean {
    const sources = sourcesOf.get(name);
    // What its sources would be is not known of one that does not build.
    return sources === undefined || broken.has(name) || [...changed].some((path) => sources.has(path));
  }

  async function rebuildOne(name: string): Promise<string[]> {
    try {
      const { sources } = await bundleFunction(name, { root, outDir: bundles });
      sourcesOf.set(name, new Set(sources));
      broken.delete(name);
      rebuilt.add(name);
      return [];
    } catch (error) {
      broken.add(name);
      return await describeBuildFailure(error);
    }
  }

  return {
    /** Builds anew what the changed files are part of; resolves to what is wrong, each fault once. */
    async rebuild(changed: ReadonlySet<string>): Promise<string[]> {
      const concerned = functionNames(root).filter((name) => isConcerned(name, changed));
      const errors = await Promise.all(concerned.map(rebuildOne));
      return [...new Set(errors.flat())];
    },
    /** The functions that were built since the last time, and run in their old form until they are reloaded. */
    takeRebuilt(): string[] {
      const names = [...rebuilt];
      rebuilt = new Set();
      return names;
    },
  };
}

async function describeBuildFailure(error: unknown): Promise<string[]> {
  if (!(error instanceof Error && 'errors' in error)) throw error;
  // Only esbuild's failures have that field.
  const { errors } = error as BuildFailure;
  const messages = await formatMessages(errors, { kind: 'error', color: process.stdout.hasColors?.() ?? false });
  return messages.map((message) => message.trimEnd());
}

/** Looks whether the emulator would start, before the one that runs is ended. */
function assertConfiguration(settings: LocalSettings): void {
  const { functionsFile, gatewayFile } = configurationFiles(settings);
  const names = readFunctionsFile(functionsFile, placeholderValues(settings)).map(({ name }) => name);
  readGatewayFile(gatewayFile, new Set(names));
  const missing = names.find((name) => !existsSync(join(settings.bundles, name, 'index.js')));
  if (missing !== undefined)
    throw new StartError(`functions.yaml names ${missing}, but there is no functions/${missing}.`);
}

/** Calls `apply` with the absolute paths of what changed, one call at a time. */
function watchProject(root: string, apply: (changed: ReadonlySet<string>) => Promise<void>): void {
  let changed = new Set<string>();
  let isApplying = false;

  async function applyAll(): Promise<void> {
    if (isApplying) return;
    isApplying = true;
    while (changed.size > 0) {
      await new Promise((settled) => setTimeout(settled, SETTLE_MS));
      const batch = changed;
      changed = new Set();
      await apply(batch);
    }
    isApplying = false;
  }

  for (const folder of WATCHED) {
    const path = join(root, folder);
    if (!existsSync(path)) continue;
    watch(path, { recursive: true }, (_, file) => {
      if (file === null) return;
      changed.add(resolve(path, file));
      void applyAll();
    });
  }
}

function printLine(functionName: string, line: string): void {
  process.stdout.write(`${process.stdout.isTTY ? formatLogLine(functionName, line) : line}\n`);
}

function printError(text: string, isRunning = true): void {
  const headline = isRunning ? 'Not run, the old code goes on:' : 'Nothing runs until this is mended:';
  console.error(`\n${styleText('red', headline, { stream: process.stderr })}\n${text}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof StartError ? error.message : `${error instanceof Error ? error.stack : error}`;
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

runProgram(main);
