import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { lintSource } from '@secretlint/core';
import { ALLOWED_VALUES, SECRET_RULES } from './find-secrets/secret-rules.ts';

/** A text to look into. */
interface Source {
  /** Below the repository; of a commit's message, `commit`. */
  readonly path: string;
  /** Where a person finds it: `working tree`, or the id of the object in git. */
  readonly from: string;
  readonly text: string;
}

/** Something that looks like a secret. The value itself is not in it, because it is printed. */
export interface FoundSecret {
  readonly path: string;
  readonly line: number;
  /** `working tree`, or an object that `git cat-file -p` shows. */
  readonly from: string;
  readonly message: string;
}

/** What was looked into, and what was found. */
export interface SecretScan {
  readonly texts: number;
  /** The history is a part of what there is: the clone is shallow. */
  readonly isShallow: boolean;
  readonly found: readonly FoundSecret[];
}

/** Looks for secrets in the files of a repository, in all that any of its commits ever held, and in their messages. */
export async function findSecrets(root: string): Promise<SecretScan> {
  // What is in the working tree is mostly in the history too.
  const sources = new Map([...readHistory(root), ...readWorkingTree(root)].map((source) => [source.text, source]));
  const found: FoundSecret[] = [];
  for (const source of sources.values()) found.push(...(await lint(source)));
  const isShallow = git(root, ['rev-parse', '--is-shallow-repository']).toString().trim() === 'true';
  return { texts: sources.size, isShallow, found };
}

async function lint({ path, from, text }: Source): Promise<FoundSecret[]> {
  const source = { filePath: path, content: text, contentType: 'text' } as const;
  const { messages } = await lintSource({
    source,
    options: { config: SECRET_RULES, maskSecrets: true, noPhysicFilePath: true },
  });
  const secrets = messages.filter(({ range }) => !isAllowed(path, text.slice(...range)));
  return secrets.map(({ loc, ruleId, message }) => ({
    path,
    line: loc.start.line,
    from,
    message: `${ruleId}: ${message}`,
  }));
}

function isAllowed(path: string, value: string): boolean {
  return ALLOWED_VALUES.some((allowed) => allowed.path.test(path) && allowed.value.test(value));
}

/** Files that git knows, or would take at `git add`. */
function readWorkingTree(root: string): Source[] {
  const list = git(root, ['ls-files', '-z', '--cached', '--others', '--exclude-standard']).toString();
  const paths = list.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
  return paths
    .filter((path) => lstatSync(join(root, path)).isFile())
    .map((path) => ({ path, from: 'working tree', text: readFileSync(join(root, path), 'utf8') }));
}

/** Every version of every file, and every commit, on whatever branch or tag. */
function readHistory(root: string): Source[] {
  const lines = git(root, ['rev-list', '--objects', '--all']).toString().split('\n').filter(Boolean);
  const paths = new Map(lines.map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]));
  const objects = git(root, ['cat-file', '--batch'], `${[...paths.keys()].join('\n')}\n`);
  const sources: Source[] = [];
  // Of each: a line of id, type and size; then the content and a line feed.
  for (let start = 0; start < objects.length; ) {
    const contentStart = objects.indexOf('\n', start) + 1;
    const [id = '', type = '', size = ''] = objects.toString('latin1', start, contentStart - 1).split(' ');
    const contentEnd = contentStart + Number(size);
    const path = type === 'blob' ? (paths.get(id) ?? '') : type;
    const text = objects.toString('utf8', contentStart, contentEnd);
    if (type !== 'tree') sources.push({ path, from: id.slice(0, 12), text });
    start = contentEnd + 1;
  }
  return sources;
}

function git(root: string, args: readonly string[], input = ''): Buffer {
  const { status, stdout, stderr, error } = spawnSync('git', args, {
    cwd: root,
    input,
    maxBuffer: Number.POSITIVE_INFINITY,
  });
  if (status !== 0) throw new Error(`git ${args[0]} failed: ${error?.message ?? stderr.toString().trim()}`);
  return stdout;
}

/** The command line: `npm run secrets [-- --root .]`. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { root: { type: 'string' } } });
  const root = values.root === undefined ? fileURLToPath(new URL('../', import.meta.url)) : resolve(values.root);
  const { texts, isShallow, found } = await findSecrets(root);
  if (isShallow) console.error(styleText('yellow', 'the clone is shallow: the history before it was not looked into'));
  for (const { path, line, from, message } of found) {
    console.error(`${styleText('red', `${path}:${line}`)} (${from}) ${message}`);
  }
  if (found.length === 0) console.log(`no secret in ${texts} texts of the working tree and the history`);
  else process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
