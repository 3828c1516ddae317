import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { DRIVERS } from '#scripts/build.ts';

const read = (path: string) => readFileSync(path, 'utf8');
const foldersOf = (path: string) =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();

/** The first column of the README's table under a heading, without its backticks. */
function firstColumn(heading: string): string[] {
  const section = read('README.md').split(`\n## ${heading}\n`)[1]?.split('\n#')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? '');
}

describe('the list of functions is the same', () => {
  const rows = Object.keys(parseYaml(read('infra/functions.yaml')).functions).sort();

  test('in functions.yaml and in the folders of functions/', () => {
    expect(rows).toEqual(foldersOf('functions'));
  });

  test('in functions.yaml and in the README', () => {
    expect(firstColumn('Functions').sort()).toEqual(rows);
  });

  test('in functions.yaml and in what the build makes', () => {
    const bundles = inject('bundles');
    const manifest = JSON.parse(read(join(bundles, 'manifest.json')));

    expect(foldersOf(bundles)).toEqual([...rows, 'static'].sort());
    expect(Object.keys(manifest).filter((file) => !file.startsWith('static/'))).toEqual(
      rows.map((name) => `${name}.zip`),
    );
  });
});

describe('what a reader is told to run exists', () => {
  const { scripts } = JSON.parse(read('package.json'));

  test.each(['README.md', 'CONTRIBUTING.md', 'infra/README.md', '.ci/run'])('each npm script that %s names', (file) => {
    const calls = read(file).matchAll(/\bnpm (?:run (?:--\w+ )*([a-z][\w:-]*)|(start|test)\b)/g);
    const named = [...calls].map(([, script, builtIn]) => script ?? builtIn ?? '');
    const unknown = named.filter((name) => !(name in scripts));

    expect(unknown).toEqual([]);
  });

  test('each file that an npm script runs', () => {
    const files = Object.values<string>(scripts).flatMap((command) => command.match(/\bscripts\/[\w./-]+/g) ?? []);

    expect(files.filter((file) => !existsSync(file))).toEqual([]);
    expect(files).toContain('scripts/build.ts');
  });
});

describe('drivers', () => {
  const drivers = foldersOf('shared').flatMap((domain) => {
    const folder = `shared/${domain}/drivers`;
    return existsSync(folder) ? readdirSync(folder).map((file) => `${domain}/drivers/${file}`) : [];
  });

  test.each(drivers)('%s passes the contract of its port', (driver) => {
    const opener = /^export (?:async )?function (open\w+)\(/m.exec(read(`shared/${driver}`))?.[1];
    const tests = readdirSync('test/contract').filter((file) => file.endsWith('.test.ts'));

    expect(tests.filter((file) => read(`test/contract/${file}`).includes(`${opener}(`))).not.toEqual([]);
  });

  test.each(drivers)('%s can be built in, and its port opens it', (driver) => {
    const [domain, , file = ''] = driver.split('/');

    expect(DRIVERS).toContain(file.replace('.ts', ''));
    expect(read(`shared/${domain}/open-store.ts`)).toContain(`import('./drivers/${file}')`);
  });

  test('each that a build can hold is there', () => {
    const names = new Set(drivers.map((driver) => /([a-z]+)\.ts$/.exec(driver)?.[1]));

    expect(DRIVERS.filter((driver) => !names.has(driver))).toEqual([]);
  });
});

test('CHANGELOG has "Unreleased" on top, with something in it', () => {
  expect(read('CHANGELOG.md')).toMatch(/^# Changes\n\n## Unreleased\n\n- \S/);
});
