import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleFunction, functionNames } from '#scripts/build.ts';

/** Licences that let the code go without its notice. */
const WITHOUT_NOTICE = ['0BSD', 'CC0-1.0', 'MIT-0', 'Unlicense'];

const HEAD = `unlink-functions is licensed under the Apache License, Version 2.0: see LICENSE.

The functions as built hold code of the packages below, each under its own licence.
Made by \`npm run licenses -- --write\`.
`;

const RULE = '-'.repeat(80);

/**
 * The folders of the packages whose code is in the functions, every driver built in; sorted.
 *
 * @param outDir Where they are built.
 */
export async function findBundledPackages(outDir: string): Promise<string[]> {
  const bundles = await Promise.all(functionNames().map((name) => bundleFunction(name, { outDir })));
  const sources = bundles.flatMap((bundle) => bundle.sources);
  const folders = sources.flatMap((source) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(source)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/**
 * The notices that the licences of packages ask for, one text for all packages that have it word for word.
 *
 * @param folders Of the packages.
 */
export function createNotice(folders: readonly string[]): string {
  const packagesByText = new Map<string, string[]>();
  for (const folder of folders) {
    const { name, version, license } = readManifest(folder);
    const text = noticeOf(folder, name, license);
    packagesByText.set(text, [...(packagesByText.get(text) ?? []), `${name} ${version} (${license})`]);
  }
  const sections = [...packagesByText].map(([text, packages]) => `${packages.join('\n')}\n\n${text}`);
  return [HEAD, ...sections].map((section) => `${section.trimEnd()}\n`).join(`\n${RULE}\n`);
}

/** What of a `package.json` this needs. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

function noticeOf(folder: string, name: string, license: string): string {
  const files = readdirSync(folder).sort();
  const texts = files.filter((file) => /^(licen[sc]e|copying|notice)(\.(md|txt))?$/i.test(file));
  if (texts.length > 0) return texts.map((file) => tidy(readFileSync(join(folder, file), 'utf8'))).join('\n\n');
  const inReadme = readReadme(folder, files)
    .split(/^#+ licen[sc]e\s*$/im)[1]
    ?.split(/^#/m)[0];
  if (inReadme?.includes('Copyright')) return tidy(inReadme);
  if (WITHOUT_NOTICE.includes(license)) return 'Its licence asks for no notice.';
  throw new Error(`${name} is under ${license}, which asks for a notice, and ships none`);
}

function readReadme(folder: string, files: readonly string[]): string {
  const readme = files.find((file) => /^readme\.md$/i.test(file));
  return readme === undefined ? '' : readFileSync(join(folder, readme), 'utf8');
}

/** The same text, whatever the spaces at its ends and the ends of its lines. */
function tidy(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => line.trimEnd());
  return lines.join('\n').replace(/^\n+|\n+$/g, '');
}
