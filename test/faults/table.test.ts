import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Expected, NETWORK_FAULTS, type NetworkStoreName } from './faults.ts';
import { cellsOf, sentence, settingsCellsOf } from './hold-to-table.ts';
import { MOMENTS, settingsChangesOf } from './settings-changes.ts';
import { SQLITE_CELLS, SQLITE_FAULTS } from './sqlite-faults.ts';

const STORES: readonly NetworkStoreName[] = ['postgres', 'redis', 'dynamodb'];

const row = (...cells: readonly string[]) => `| ${cells.join(' | ')} |`;
const cell = (expected: Expected) => `${'impossible' in expected ? 'no: ' : ''}${sentence(expected)}`;

const NETWORK_TABLE = [
  row('The server …', ...STORES),
  row('---', ...STORES.map(() => '---')),
  ...NETWORK_FAULTS.map(({ name, expected }) => row(name, ...STORES.map((store) => cell(expected[store])))),
].join('\n');

const SQLITE_TABLE = [
  row('The file …', 'sqlite'),
  row('---', '---'),
  ...SQLITE_FAULTS.map(({ name, expected }) => row(name, sentence(expected))),
].join('\n');

const SETTINGS_TABLE = [
  row('The server changes its settings', 'store', ...MOMENTS),
  row('---', '---', ...MOMENTS.map(() => '---')),
  ...STORES.flatMap((store) =>
    settingsChangesOf(store).map(({ name, expected }) =>
      row(name, store, ...MOMENTS.map((moment) => cell(expected[moment]))),
    ),
  ),
].join('\n');

test('the document shows the tables that are run, with the reasons where there is no such fault', () => {
  console.log(`${NETWORK_TABLE}\n\n${SETTINGS_TABLE}\n\n${SQLITE_TABLE}`);
  const document = readFileSync('docs/store-faults.md', 'utf8');
  expect(document).toContain(NETWORK_TABLE);
  expect(document).toContain(SETTINGS_TABLE);
  expect(document).toContain(SQLITE_TABLE);
});

/** Column → the contract test that has the server say what stands in it. */
const ANSWERS = [
  [2, 'test/contract/postgres.test.ts'],
  [3, 'test/contract/redis.test.ts'],
  [4, 'test/contract/dynamodb.test.ts'],
] as const;

test.each(ANSWERS)('what servers say in column %i of the second table is what %s has them say', (column, file) => {
  const [, section = ''] = readFileSync('docs/store-faults.md', 'utf8').split('\n## What a server says');
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const answers = rows.flatMap((line) => [...(line.split('|')[column] ?? '').matchAll(/`([^`]+?)(…?)`/g)]);
  const contract = readFileSync(file, 'utf8');

  expect(answers.length).toBeGreaterThan(10);
  const isSaid = (answer: string) => contract.includes(`'${answer}`) || contract.includes(`"${answer}`);
  expect(answers.flatMap(([, answer = '']) => (isSaid(answer) ? [] : [answer]))).toEqual([]);
});

test('both kinds of stores are put through it, as often as the document says', () => {
  const document = readFileSync('docs/store-faults.md', 'utf8').replaceAll('\n', ' ');
  const cells = [...STORES.flatMap(cellsOf), ...SQLITE_CELLS];
  const ofSettings = STORES.flatMap(settingsCellsOf);
  for (const ran of [cells, ofSettings]) {
    const count = (kind: string) => ran.filter((cell) => cell.kind === kind).length;
    expect(document).toContain(
      `${count('revocations')} times with revocations and ${count('directory')} times with the directory`,
    );
  }
  expect(readFileSync('README.md', 'utf8')).toContain(
    `[${cells.length + ofSettings.length} cells](docs/store-faults.md)`,
  );
});
