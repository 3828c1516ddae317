/** The build shortens the names of classes and functions: what decides by one works on the source alone. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleFunction, functionNames } from '#scripts/build.ts';

/** Reads the name of a class or function, or compares something with a name that a class may have. */
const READS_A_NAME = [
  /\bconstructor\s*(\?\.|\.)\s*name\b/,
  /\.name\s*[!=]==?\s*(['"`])[A-Z]\w*\1/,
  /(['"`])[A-Z]\w*\1\s*[!=]==?\s*[\w.?]+\.name\b/,
  /\bcase\s+(['"`])[A-Z]\w*(Error|Exception)\1/,
  /\[\s*(['"`])[A-Z]\w*(Error|Exception)\1[^\]]*\]\s*\.includes\(\s*[\w.?]+\.name\b/,
];

/** What may, because nothing is decided by the name of something that the build renames. File → parts of its lines → why. */
const ALLOWED: Readonly<Record<string, readonly (readonly [part: string, reason: string])[]>> = {
  'node_modules/iovalkey/built/Pipeline.js': [
    ['this.redis.constructor.name === "Cluster" || this.redis.isCluster;', 'no pipeline and no cluster is used'],
  ],
  'node_modules/iovalkey/built/errors/ClusterAllFailedError.js': [
    ['return this.constructor.name;', 'the text of an error that only a cluster client throws'],
  ],
  'node_modules/iovalkey/built/errors/MaxRetriesPerRequestError.js': [
    ['return this.constructor.name;', 'nothing reads it: redis.ts decides by class and message'],
  ],
  'node_modules/redis-errors/lib/modern.js': [
    ['return this.constructor.name', 'nothing reads it: redis.ts decides by class and message'],
  ],
  'node_modules/is-network-error/index.js': [
    ["&& error.name === 'TypeError'", 'a class of the language keeps its name'],
  ],
  'node_modules/jose/dist/webapi/lib/key.js': [['actual.constructor?.name && (msg += `', 'the text of an error']],
  'node_modules/jose/dist/webapi/util/errors.js': [
    [
      'super(message, options), this.name = this.constructor.name, Error.captureStackTrace?.(this, this.constructor);',
      'every error of it has a code, by which jwt.ts decides',
    ],
  ],
  'node_modules/oauth4webapi/build/index.js': [
    [
      'this.name = this.constructor.name;',
      'every error of it has a code or a class, by which oauth-protocol.ts decides',
    ],
  ],
  'node_modules/zod/v4/core/compile.js': [
    ['(fn.constructor.name === "AsyncFunction" ||', 'a class of the language keeps its name'],
  ],
  'node_modules/zod/v4/core/schemas.js': [
    ['throw new core.$ZodEncodeError(inst.constructor.name);', 'the text of an error; nothing is encoded by a schema'],
  ],
  'node_modules/zod/v4/core/util.js': [['return obj.constructor.name;', 'the text of a type in a message']],
};

const ROOT = join(import.meta.dirname, '../..');
const outDir = mkdtempSync(join(tmpdir(), 'unlink-names-'));
afterAll(() => rmSync(outDir, { recursive: true, force: true }));

/** The sources of all functions, those of packages included: path in the repository → lines that read a name. */
let found: Map<string, string[]>;
beforeAll(async () => {
  const bundles = await Promise.all(functionNames().map((name) => bundleFunction(name, { outDir })));
  const sources = new Set(bundles.flatMap((bundle) => bundle.sources).filter((path) => /\.[cm]?[jt]s$/.test(path)));
  found = new Map(
    [...sources]
      .map((path) => [relative(ROOT, path), linesThatReadNames(path)] as const)
      .filter(([, lines]) => lines.length > 0),
  );
});

function linesThatReadNames(path: string): string[] {
  const lines = readFileSync(path.replace(/^.*\/script:/, ''), 'utf8').split('\n');
  return [...new Set(lines.filter((line) => READS_A_NAME.some((name) => name.test(line))).map((line) => line.trim()))];
}

test('nothing that is built in decides by the name of a class or function', () => {
  const allowed = (path: string) => (ALLOWED[path] ?? []).map(([part]) => part);
  const others = [...found].flatMap(([path, lines]) =>
    lines.filter((line) => !allowed(path).some((part) => line.includes(part))).map((line) => `${path}: ${line}`),
  );
  expect(others).toEqual([]);
});

test('what is allowed to read a name is there, and outside of our own code', () => {
  const listed = Object.entries(ALLOWED).flatMap(([path, lines]) => lines.map(([part]) => ({ path, part })));
  const isThere = ({ path, part }: { path: string; part: string }) =>
    found.get(path)?.some((line) => line.includes(part)) ?? false;
  expect(listed.filter((entry) => !isThere(entry))).toEqual([]);
  expect(listed.filter(({ path }) => !path.startsWith('node_modules/'))).toEqual([]);
});

test.each([
  "if (error.name === 'ReplyError') return;",
  "const isOurs = 'StoreUnavailable' === error.name;",
  'switch (thing.constructor.name) {',
  "case 'TimeoutError':",
  "['AbortError', 'TimeoutError'].includes(error.name)",
])('a line such as %s is found', (line) => {
  expect(READS_A_NAME.some((name) => name.test(line))).toBe(true);
});
