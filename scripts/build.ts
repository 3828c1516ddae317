import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type BuildOptions, build as esbuild, type Metafile, type Plugin } from 'esbuild';
import { zipSync } from 'fflate';

/** The drivers that a build can hold. */
export const DRIVERS = ['memory', 'sqlite', 'postgres', 'redis', 'dynamodb'] as const;
export type Driver = (typeof DRIVERS)[number];

/** The most minified bytes of a function with one driver. */
const BUDGET_BYTES: Readonly<Partial<Record<Driver, number>>> = {
  sqlite: 142_000,
  postgres: 223_000,
  redis: 266_000,
  dynamodb: 159_000,
};

/**
 * What a function may have besides: the OAuth client of binds in the browser, how each provider revokes, which addresses
 * metadata may name, and how each authorization server ends a grant, with the package that signs requests to AWS in a file of its own.
 */
const EXTRA_BYTES: Readonly<Record<string, number>> = {
  'external-provider-bind': 82_000,
  'external-provider-delete': 32_000,
  maintenance: 28_000,
  'smart-home-unlink': 35_000,
  'social-unlink': 34_000,
};

/** What pages of others load: its source, and the declarations of what it adds to a page. */
const BROWSER_SCRIPTS = {
  'ss_mi.js': { source: 'functions/social-unlink/ss-mi.ts', types: 'functions/social-unlink/ss-mi-globals.d.ts' },
} as const;

/** The most bytes of a browser's script, minified and gzipped. */
const BROWSER_BUDGET_BYTES = 2_000;

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** What a build is made of and where it goes. */
export interface BuildSettings {
  /**
   * The drivers to put in. One is part of `index.js`; several are files of their own under `drivers/`, loaded on
   * demand, because an unused one in the same file costs its parse at every cold start.
   */
  readonly stores?: readonly Driver[];
  readonly outDir?: string;
  /** The folder that holds `functions/`. */
  readonly root?: string;
}

/** A function's code as bundled. */
export interface BundledFunction {
  readonly name: string;
  /** Its code: path inside the zip → content. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** The drivers whose code is in it. */
  readonly drivers: readonly string[];
  /** Absolute paths of the sources that it is made of. */
  readonly sources: readonly string[];
  /** Those whose code is in the file that is loaded first: what is unused, or types alone, has left none. */
  readonly entrySources: readonly string[];
}

/** A function as built, as the manifest lists it. */
export interface BuiltFunction {
  readonly name: string;
  /** Of its code with its drivers, minified. */
  readonly bytes: number;
  readonly zipBytes: number;
  /** Of the zip, in hexadecimal. */
  readonly sha256: string;
  readonly drivers: readonly string[];
}

/** A file for browsers as built, as the manifest lists it. */
interface BuiltBrowserFile {
  /** Below the folder of the build. */
  readonly path: string;
  readonly bytes: number;
  readonly gzipBytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** All that was built. */
export interface Build {
  readonly functions: readonly BuiltFunction[];
  readonly browserFiles: readonly BuiltBrowserFile[];
}

/**
 * Builds every function into `<outDir>/<function>/index.js`, one CommonJS file, and `<outDir>/<function>.zip`, with the
 * licences of all that is in it, and what browsers load into `<outDir>/static/`; `<outDir>/manifest.json` lists the zips and the files for browsers. Equal
 * sources make equal bytes.
 */
export async function build(settings: BuildSettings = {}): Promise<Build> {
  const { outDir, root } = withDefaults(settings);
  rmSync(outDir, { recursive: true, force: true });
  const built = new Map<string, Promise<OnDemandFile>>();
  const bundled = await Promise.all(functionNames(root).map((name) => bundleFunction(name, settings, built)));
  const notices = readNotices(root);
  const functions = bundled.map((bundle) => zipFunction(bundle, notices, outDir));
  const browserFiles = await buildBrowserFiles(root, outDir);
  const manifest = Object.fromEntries([
    ...functions.map(({ name, sha256, zipBytes, drivers }) => [`${name}.zip`, { sha256, bytes: zipBytes, drivers }]),
    ...browserFiles.map(({ path, sha256, bytes }) => [path, { sha256, bytes }]),
  ]);
  writeFileSync(join(outDir, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return { functions, browserFiles };
}

async function buildBrowserFiles(root: string, outDir: string): Promise<BuiltBrowserFile[]> {
  const files: BuiltBrowserFile[] = [];
  for (const [name, { source, types }] of Object.entries(BROWSER_SCRIPTS)) {
    // A project of another root may be without.
    if (!existsSync(join(root, source))) continue;
    const { code } = await bundleBrowserScript(join(root, source), root);
    files.push(writeBrowserFile(outDir, name, code));
    files.push(writeBrowserFile(outDir, name.replace(/\.js$/, '.d.ts'), readFileSync(join(root, types), 'utf8')));
  }
  return files;
}

function writeBrowserFile(outDir: string, name: string, text: string): BuiltBrowserFile {
  const path = `static/${name}`;
  const content = Buffer.from(text);
  mkdirSync(join(outDir, 'static'), { recursive: true });
  writeFileSync(join(outDir, path), content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { path, bytes: content.length, gzipBytes: gzipSync(content, { level: 9 }).length, sha256 };
}

/** One classic script, which leaves nothing in the page's global scope but what it puts there itself. */
async function bundleBrowserScript(source: string, root: string): Promise<{ code: string; metafile: Metafile }> {
  const { outputFiles, metafile } = await esbuild({
    absWorkingDir: root,
    entryPoints: [source],
    bundle: true,
    platform: 'browser',
    target: 'es2019',
    format: 'iife',
    minify: true,
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  return { code: outputFiles.map(({ text }) => text).join(''), metafile };
}

/** The functions that there are: the folders of `functions/`, sorted. */
export function functionNames(root = ROOT): string[] {
  const entries = readdirSync(join(root, 'functions'), { withFileTypes: true });
  return entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
}

/**
 * Writes one function's files into `<outDir>/<name>/`, without a zip. Rejects, and keeps what is there, when it does not compile.
 *
 * @param built What other functions of the same build load on demand: each is built once.
 */
export async function bundleFunction(
  name: string,
  settings: BuildSettings = {},
  built = new Map<string, Promise<OnDemandFile>>(),
): Promise<BundledFunction> {
  const { root } = withDefaults(settings);
  return await bundleEntry(name, join(root, 'functions', name, 'handler.ts'), settings, built);
}

/**
 * Does what {@link bundleFunction} does, with another source than a function's handler.
 *
 * @param source The absolute path of the source.
 */
export async function bundleEntry(
  name: string,
  source: string,
  settings: BuildSettings = {},
  built = new Map<string, Promise<OnDemandFile>>(),
): Promise<BundledFunction> {
  const { stores, outDir, root } = withDefaults(settings);
  mkdirSync(outDir, { recursive: true });
  // In this repository `.js` means ESM; what is deployed has no package.json and is CommonJS.
  writeFileSync(join(outDir, 'package.json'), '{"type":"commonjs"}\n');
  const options = { ...BUNDLE_OPTIONS, absWorkingDir: root, outdir: join(outDir, name) };
  const separate = new Map<string, string>();
  const scripts: Metafile[] = [];
  const handler = await esbuild({
    ...options,
    entryPoints: { index: source },
    plugins: [driverPlugin(stores, separate), packagePlugin(separate), scriptPlugin(root, scripts)],
  });
  const metafiles: Metafile[] = [handler.metafile];
  for (const [path, sourceOnDemand] of separate) {
    const building = built.get(path) ?? buildOnDemandFile(path, sourceOnDemand, options);
    built.set(path, building);
    const { outputs, metafile } = await building;
    for (const [output, content] of Object.entries(outputs)) {
      mkdirSync(dirname(join(outDir, name, output)), { recursive: true });
      writeFileSync(join(outDir, name, output), content);
    }
    metafiles.push(metafile);
  }
  const paths = ['index', ...[...separate.keys()].sort()].map((path) => `${path}.js`);
  return {
    name,
    files: Object.fromEntries(paths.map((path) => [path, readFileSync(join(outDir, name, path))])),
    drivers: driversIn(metafiles),
    sources: [...metafiles, ...scripts].flatMap(({ inputs }) => Object.keys(inputs).map((path) => resolve(root, path))),
    entrySources: Object.values(handler.metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [resolve(root, path)] : [])),
    ),
  };
}

/** What functions load on demand, as built: the same for all of them. */
interface OnDemandFile {
  /** The code and its source map: path inside the function's folder → content. */
  readonly outputs: Readonly<Record<string, Uint8Array>>;
  readonly metafile: Metafile;
}

async function buildOnDemandFile(
  path: string,
  source: string,
  options: BuildOptions & { readonly outdir: string },
): Promise<OnDemandFile> {
  const { outputFiles, metafile } = await esbuild({
    ...options,
    entryPoints: { [path]: source },
    metafile: true,
    write: false,
  });
  const outputs = outputFiles.map((file) => [relative(options.outdir, file.path), file.contents]);
  return { outputs: Object.fromEntries(outputs), metafile };
}

function withDefaults({ stores = DRIVERS, outDir, root = ROOT }: BuildSettings): Required<BuildSettings> {
  return { stores, outDir: outDir ?? join(root, 'dist'), root };
}

/** What the licences ask every copy to hold. It is not loaded, so it costs a zip some kilobytes and a cold start nothing. */
const NOTICES = ['LICENSE', 'NOTICE'] as const;

function readNotices(root: string): Record<string, Uint8Array> {
  // A project of another root may be without.
  const there = NOTICES.filter((file) => existsSync(join(root, file)));
  return Object.fromEntries(there.map((file) => [file, readFileSync(join(root, file))]));
}

function zipFunction(
  { name, files, drivers }: BundledFunction,
  notices: Readonly<Record<string, Uint8Array>>,
  outDir: string,
): BuiltFunction {
  const zip = zipSync({ ...files, ...notices }, { level: 9, mtime: ZIP_TIME });
  writeFileSync(join(outDir, `${name}.zip`), zip);
  const bytes = Object.values(files).reduce((sum, content) => sum + content.length, 0);
  const sha256 = createHash('sha256').update(zip).digest('hex');
  return { name, bytes, zipBytes: zip.length, sha256, drivers };
}

/** How every function is bundled. */
export const BUNDLE_OPTIONS = {
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'cjs',
  // With format cjs, an import() becomes a require(): the ESM loader would cost milliseconds at a cold start.
  supported: { 'dynamic-import': false },
  mainFields: ['module', 'main'],
  // What pg loads only when it is told to: a client of its own for an addon.
  external: ['./native'],
  minify: true,
  sourcemap: 'external',
  legalComments: 'none',
  metafile: true,
  logLevel: 'silent',
} satisfies BuildOptions;

/** The same in every build, so that equal code makes equal zips. */
const ZIP_TIME = '2020-01-01T00:00:00';

const DRIVER_SOURCE = /([a-z-]+)\/drivers\/([a-z]+)\.ts$/;

/** The drivers of which something is left after the bundler has dropped what nothing uses. */
function driversIn(metafiles: readonly Metafile[]): string[] {
  const outputs = metafiles.flatMap((metafile) => Object.values(metafile.outputs));
  const used = outputs.flatMap(({ inputs }) => Object.keys(inputs).map((path) => DRIVER_SOURCE.exec(path)?.[2]));
  return [...new Set(used.filter((driver) => driver !== undefined))].sort();
}

/**
 * Puts the one driver that is asked for into the file, makes several files of their own, and leaves the others out.
 *
 * @param separate Receives the drivers that need a file of their own: file name without extension → source.
 */
function driverPlugin(stores: readonly Driver[], separate: Map<string, string>): Plugin {
  const [only] = stores.length === 1 ? stores : [];
  return {
    name: 'drivers',
    setup({ onResolve, onLoad, resolve }) {
      if (only !== undefined) {
        onLoad({ filter: /\/open-store\.ts$/ }, ({ path }) => ({
          contents: importStatically(readFileSync(path, 'utf8'), only),
          loader: 'ts',
        }));
      }
      onResolve({ filter: /\/drivers\/[a-z]+\.ts$/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
        if (kind !== 'dynamic-import' || pluginData === 'resolved') return undefined;
        const source = await resolve(path, { importer, resolveDir, kind, pluginData: 'resolved' });
        const [, domain, driver] = DRIVER_SOURCE.exec(source.path) ?? [];
        if (!stores.some((store) => store === driver)) return { path: `${driver}`, namespace: 'absent-driver' };
        separate.set(`drivers/${domain}-${driver}`, source.path);
        return { path: `./drivers/${domain}-${driver}.js`, external: true };
      });
      onLoad({ filter: /.*/, namespace: 'absent-driver' }, ({ path }) => ({
        // Known by its code, as every failure is: it says what the settings ask for and the build leaves out.
        contents: `throw Object.assign(new Error(${JSON.stringify(`this build leaves out the driver ${path}`)}), { code: 'misconfigured' })`,
      }));
    },
  };
}

/**
 * The one driver that there is need not wait for its first use. Behind an `import()` the bundler would put it, and all
 * that it shares with the rest, into functions, whose code costs a cold start to be read twice.
 */
function importStatically(source: string, driver: Driver): string {
  const [before, after, ...more] = source.split(`await import('./drivers/${driver}.ts')`);
  // A store that has no such driver.
  if (after === undefined && !source.includes(`/drivers/${driver}.ts`)) return source;
  if (after === undefined || more.length > 0) throw new Error(`the driver ${driver} is not imported once, on demand`);
  return `import * as onlyDriver from './drivers/${driver}.ts';\n${before}onlyDriver${after}`;
}

/**
 * Makes of packages that are loaded on demand files of their own, too: few calls need them.
 *
 * @param separate As of {@link driverPlugin}.
 */
function packagePlugin(separate: Map<string, string>): Plugin {
  return {
    name: 'packages',
    setup({ onResolve }) {
      onResolve({ filter: /\/packages\/[a-z0-9-]+\.ts$/ }, ({ path, resolveDir }) => {
        const name = `packages/${basename(path, '.ts')}`;
        separate.set(name, join(resolveDir, path));
        return { path: `./${name}.js`, external: true };
      });
    },
  };
}

/**
 * Makes of `import { script } from './page.ts?script'` the text of that source as browsers load it, for a function to serve.
 *
 * @param scripts Receives what the scripts are made of.
 */
function scriptPlugin(root: string, scripts: Metafile[]): Plugin {
  return {
    name: 'scripts',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /\.ts\?script$/ }, ({ path, resolveDir }) => ({
        path: join(resolveDir, path.replace(/\?script$/, '')),
        namespace: 'script',
      }));
      onLoad({ filter: /.*/, namespace: 'script' }, async ({ path }) => {
        const { code, metafile } = await bundleBrowserScript(path, root);
        scripts.push(metafile);
        return { contents: `export const script = ${JSON.stringify(code)};` };
      });
    },
  };
}

/** The command line: `npm run build -- [--store sqlite]… [--root .] [--out-dir dist]`. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { store: { type: 'string', multiple: true }, root: { type: 'string' }, 'out-dir': { type: 'string' } },
  });
  const stores = (values.store ?? DRIVERS).map((name) => {
    const driver = DRIVERS.find((known) => known === name);
    if (driver === undefined) throw new Error(`--store must be one of ${DRIVERS.join(', ')}`);
    return driver;
  });
  const built = await build({
    stores,
    ...(values.root !== undefined && { root: resolve(values.root) }),
    ...(values['out-dir'] !== undefined && { outDir: resolve(values['out-dir']) }),
  });
  console.log(`stores: ${stores.join(', ')}`);
  for (const { name, bytes, zipBytes } of built.functions) {
    console.log(`  ${name.padEnd(24)} ${kilobytes(bytes)} minified ${kilobytes(zipBytes)} zipped`);
  }
  for (const { path, bytes, gzipBytes } of built.browserFiles) {
    console.log(`  ${path.padEnd(24)} ${kilobytes(bytes)} ${''.padEnd(8)} ${kilobytes(gzipBytes)} gzipped`);
  }
  const excesses = findExcesses(built, stores);
  for (const excess of excesses) console.error(styleText('red', excess));
  if (excesses.length > 0) process.exitCode = 1;
}

/** What is above its budget. Functions have one when they hold one driver. */
function findExcesses({ functions, browserFiles }: Build, stores: readonly Driver[]): string[] {
  const [store] = stores;
  const budget = stores.length === 1 && store !== undefined ? BUDGET_BYTES[store] : undefined;
  const budgetOf = (name: string) => (budget ?? Number.POSITIVE_INFINITY) + (EXTRA_BYTES[name] ?? 0);
  return [
    ...functions
      .filter(({ name, bytes }) => bytes > budgetOf(name))
      .map(({ name }) => `${name} is above its budget of ${budgetOf(name)} bytes`),
    ...browserFiles
      .filter(({ path, gzipBytes }) => path.endsWith('.js') && gzipBytes > BROWSER_BUDGET_BYTES)
      .map(({ path }) => `${path} is above its budget of ${BROWSER_BUDGET_BYTES} bytes, gzipped`),
  ];
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1).padStart(7)} KB`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    // What esbuild fails with names the file, the line and the reason.
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
