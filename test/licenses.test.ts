import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { findRefusedLicenses } from '#scripts/licenses/allowed-licenses.ts';
import { createNotice, findBundledPackages } from '#scripts/licenses/notice.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

test('NOTICE is what the packages in the functions ask for; `npm run licenses -- --write` renews it', async () => {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);

  const packages = await findBundledPackages(folder.path);

  expect(readFileSync('NOTICE', 'utf8')).toBe(createNotice(packages));
  expect(packages.map((path) => path.replace(/^.*node_modules\//, ''))).toEqual(
    expect.arrayContaining(['iovalkey', 'jose', 'pg', 'zod']),
  );
});

test('every dependency is under a licence that is allowed', () => {
  expect(findRefusedLicenses(JSON.parse(readFileSync('package-lock.json', 'utf8')))).toEqual([]);
});

describe('a licence', () => {
  const refusedOf = (license: string | undefined, dev: boolean) =>
    findRefusedLicenses({
      packages: {
        '': { version: '0.0.0' },
        'node_modules/a/node_modules/@scope/fake': { version: '1.0.0', dev, ...(license !== undefined && { license }) },
      },
    });

  test.each(['MIT', 'ISC', '(GPL-3.0-only OR MIT)', 'Apache-2.0 AND BSD-3-Clause'])('%s is allowed', (license) => {
    expect(refusedOf(license, false)).toEqual([]);
  });

  test.each([
    'GPL-3.0-only',
    'AGPL-3.0',
    'MIT AND LGPL-2.1',
    'MPL-2.0',
    'SEE LICENSE IN LICENSE.txt',
    'UNLICENSED',
    '',
  ])('"%s" is refused in what is deployed, naming the package', (license) => {
    expect(refusedOf(license, false)).toEqual([`@scope/fake 1.0.0 is under ${license}`]);
  });

  test('that shares changes to its own files is allowed to a tool; one that asks for more is not', () => {
    expect(refusedOf('MPL-2.0', true)).toEqual([]);
    expect(refusedOf('GPL-3.0-only', true)).toEqual(['@scope/fake 1.0.0 is under GPL-3.0-only']);
  });

  test('that is not named is refused', () => {
    expect(refusedOf(undefined, true)).toEqual(['@scope/fake 1.0.0 is under no licence that it names']);
  });
});

describe('the notice of a package', () => {
  const folder = createTemporaryFolder();
  afterAll(folder.remove);

  /** A package with these files. */
  function createPackage(name: string, license: string, files: Readonly<Record<string, string>>): string {
    const path = join(folder.path, name);
    mkdirSync(path, { recursive: true });
    const manifest = JSON.stringify({ name, version: '1.0.0', license });
    for (const [file, text] of Object.entries({ 'package.json': manifest, ...files })) {
      writeFileSync(join(path, file), text);
    }
    return path;
  }

  test('is its licence, and its own NOTICE', () => {
    const path = createPackage('both', 'Apache-2.0', { 'LICENSE.md': 'The terms\r\n', NOTICE: 'By Ann Example' });

    expect(createNotice([path])).toContain('\nboth 1.0.0 (Apache-2.0)\n\nThe terms\n\nBy Ann Example\n');
  });

  test('is there once for packages that have it word for word', () => {
    const paths = ['first', 'second'].map((name) => createPackage(name, 'MIT', { LICENSE: 'Copyright Ann Example' }));

    expect(createNotice(paths)).toContain('\nfirst 1.0.0 (MIT)\nsecond 1.0.0 (MIT)\n\nCopyright Ann Example\n');
  });

  test('is in its README where it ships no file of it', () => {
    const readme = '# readme\n\nUse it.\n\n## License\n\nCopyright Ann Example. The terms.\n\n## Thanks\n\nTo all.\n';

    const notice = createNotice([createPackage('readme', 'MIT', { 'README.md': readme })]);

    expect(notice).toContain('\nreadme 1.0.0 (MIT)\n\nCopyright Ann Example. The terms.\n');
    expect(notice).not.toMatch(/Use it|Thanks/);
  });

  test('may be missing only where its licence asks for none', () => {
    const readme = '# readme\n\n## License\n\nMIT\n';

    expect(createNotice([createPackage('free', 'MIT-0', {})])).toContain('\nfree 1.0.0 (MIT-0)\n\n');
    expect(() => createNotice([createPackage('silent', 'MIT', { 'README.md': readme })])).toThrow(
      'silent is under MIT, which asks for a notice, and ships none',
    );
  });
});
