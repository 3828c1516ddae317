import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { type BuildOptions, build as bundle, type Plugin } from 'esbuild';
import { zipSync } from 'fflate';

/** The drivers that a build can hold. */
const DRIVERS = ['memory', 'sqlite'] as const;
type Driver = (typeof DRIVERS)[number];

/** The most minified bytes of a function with one driver. */
const BUDGET_BYTES: Readonly<Partial<Record<Driver, number>>> = { sqlite: 90_000 };

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** A function as built: its code with its drivers, in bytes, and the zip that is deployed. */
export interface BuiltFunction {
  readonly name: string;
  readonly bytes: number;
  readonly zipBytes: number;
}

/**
 * Builds every function into `<outDir>/<function>/index.js`, one CommonJS file, and `<outDir>/<function>.zip`.
 *
 * @param stores The drivers to put in. One is part of `index.js`; several are files of their own under `drivers/`,
 *   loaded on demand, because an unused one in the same file costs its parse at every cold start.
 */
export async function build({
  stores = DRIVERS as readonly Driver[],
  outDir = join(ROOT, 'dist'),
} = {}): Promise<BuiltFunction[]> {
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  // In this repository `.js` means ESM; what is deployed has no package.json and is CommonJS.
  writeFileSync(join(outDir, 'package.json'), '{"type":"commonjs"}\n');
  const names = readdirSync(join(ROOT, 'functions')).sort();
  return await Promise.all(names.map((name) => buildFunction(name, stores, outDir)));
}

async function buildFunction(name: string, stores: readonly Driver[], outDir: string): Promise<BuiltFunction> {
  const drivers = new Map<string, string>();
  await bundle({
    ...OPTIONS,
    entryPoints: { index: join(ROOT, 'functions', name, 'handler.ts') },
    outdir: join(outDir, name),
    plugins: [driverPlugin(stores, drivers)],
  });
  if (drivers.size > 0) {
    await bundle({ ...OPTIONS, entryPoints: Object.fromEntries(drivers), outdir: join(outDir, name) });
  }
  const files = ['index.js', ...[...drivers.keys()].map((file) => `${file}.js`)];
  const contents = Object.fromEntries(files.map((file) => [file, readFileSync(join(outDir, name, file))]));
  const zip = zipSync(contents, { level: 9, mtime: ZIP_TIME });
  writeFileSync(join(outDir, `${name}.zip`), zip);
  const bytes = Object.values(contents).reduce((sum, content) => sum + content.length, 0);
  return { name, bytes, zipBytes: zip.length };
}

const OPTIONS = {
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'cjs',
  // With format cjs, an import() becomes a require(): the ESM loader would cost milliseconds at a cold start.
  supported: { 'dynamic-import': false },
  mainFields: ['module', 'main'],
  minify: true,
  sourcemap: 'external',
  legalComments: 'none',
  absWorkingDir: ROOT,
  logLevel: 'error',
} satisfies BuildOptions;

/** The same in every build, so that equal code makes equal zips. */
const ZIP_TIME = '2020-01-01T00:00:00';

/**
 * Puts the one driver that is asked for into the file, makes several files of their own, and leaves the others out.
 *
 * @param separate Receives the drivers that need a file of their own: file name without extension → source.
 */
function driverPlugin(stores: readonly Driver[], separate: Map<string, string>): Plugin {
  return {
    name: 'drivers',
    setup({ onResolve, onLoad, resolve }) {
      onResolve({ filter: /\/drivers\/[a-z]+\.ts$/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
        if (kind !== 'dynamic-import' || pluginData === 'resolved') return undefined;
        const source = await resolve(path, { importer, resolveDir, kind, pluginData: 'resolved' });
        const [, domain, driver] = /([a-z-]+)\/drivers\/([a-z]+)\.ts$/.exec(source.path) ?? [];
        if (!stores.some((store) => store === driver)) return { path: `${driver}`, namespace: 'absent-driver' };
        if (stores.length === 1) return source;
        separate.set(`drivers/${domain}-${driver}`, source.path);
        return { path: `./drivers/${domain}-${driver}.js`, external: true };
      });
      onLoad({ filter: /.*/, namespace: 'absent-driver' }, ({ path }) => ({
        contents: `throw new Error(${JSON.stringify(`the driver ${path} is not in this build`)})`,
      }));
    },
  };
}

/** The command line: `npm run build -- [--store sqlite]…`. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { store: { type: 'string', multiple: true } } });
  const stores = (values.store ?? DRIVERS).map((name) => {
    const driver = DRIVERS.find((known) => known === name);
    if (driver === undefined) throw new Error(`--store must be one of ${DRIVERS.join(', ')}`);
    return driver;
  });
  const built = await build({ stores });
  const [store] = stores;
  const budget = stores.length === 1 && store !== undefined ? BUDGET_BYTES[store] : undefined;
  console.log(`stores: ${stores.join(', ')}`);
  for (const { name, bytes, zipBytes } of built) {
    console.log(`  ${name.padEnd(24)} ${kilobytes(bytes)} minified ${kilobytes(zipBytes)} zipped`);
  }
  const tooLarge = built.filter(({ bytes }) => budget !== undefined && bytes > budget);
  for (const { name } of tooLarge) console.error(styleText('red', `${name} is above its budget of ${budget} bytes`));
  if (tooLarge.length > 0) process.exitCode = 1;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1).padStart(7)} KB`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
