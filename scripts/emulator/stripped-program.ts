import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Of this project's alone: `npm ci` empties it. */
const KEPT = join(import.meta.dirname, '../../node_modules/.cache/unlink-functions');

/** `import.meta.url` is for comparing with rows of a stack, which name a CommonJS module by its path. */
const OPTIONS = {
  loader: 'ts',
  target: 'node22',
  format: 'cjs',
  define: { 'import.meta.url': '__filename' },
} as const;

/**
 * A program as a CommonJS module, kept from one run to the next by what it says: Node takes 100 ms to strip types in
 * each process anew, and 10 ms for its loader of ES modules.
 * Resolves to the path of what was kept, or to the program's own where nothing can be.
 *
 * @param program A TypeScript file that imports nothing but what comes with Node.
 */
export async function keepStripped(program: string): Promise<string> {
  const source = readFileSync(program, 'utf8');
  const digest = createHash('sha256')
    .update(`${JSON.stringify(OPTIONS)}${source}`)
    .digest('hex')
    .slice(0, 16);
  const kept = join(KEPT, `${basename(program, '.ts')}-${digest}.cjs`);
  if (existsSync(kept)) return kept;
  // Loaded on demand: it is a program of its own.
  const { transform } = await import('esbuild');
  const { code } = await transform(source, OPTIONS);
  const unfinished = `${kept}.${process.pid}`;
  try {
    mkdirSync(KEPT, { recursive: true });
    writeFileSync(unfinished, code);
    renameSync(unfinished, kept); // all of it or nothing, whoever else does the same
  } catch {
    return program;
  }
  return kept;
}
