import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where the modules are that processes of the tests run. */
const FOLDERS = ['scripts', 'shared', 'test'];

/**
 * Strips the types of the project's modules once for the whole test run, as Node does it, and has Node keep what it
 * compiles: else each process that a test starts spends most of its start on that.
 */
export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'unlink-stripped-'));
  for (const path of FOLDERS.flatMap(modulesIn)) writeStripped(path, join(folder, resolve(path)));
  const loader = join(folder, 'load-stripped.mjs');
  writeStripped(join(import.meta.dirname, 'load-stripped.ts'), loader);

  const { NODE_OPTIONS, NODE_COMPILE_CACHE } = process.env;
  process.env.NODE_OPTIONS = `${NODE_OPTIONS ?? ''} --import=${pathToFileURL(loader)}`.trim();
  process.env.NODE_COMPILE_CACHE = join(folder, 'compiled');
  return () => {
    for (const [name, value] of Object.entries({ NODE_OPTIONS, NODE_COMPILE_CACHE })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(folder, { recursive: true, force: true });
  };
}

function modulesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : modulesIn(path);
    return /(?<!\.d|\.test)\.ts$/.test(path) ? [path] : [];
  });
}

function writeStripped(path: string, stripped: string): void {
  mkdirSync(dirname(stripped), { recursive: true });
  writeFileSync(stripped, stripTypeScriptTypes(readFileSync(path, 'utf8')));
}
