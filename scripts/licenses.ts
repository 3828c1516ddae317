import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findRefusedLicenses } from './licenses/allowed-licenses.ts';
import { createNotice, findBundledPackages } from './licenses/notice.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** The command line: `npm run licenses [-- --write]`. Refuses licences that are not allowed, and a NOTICE that is out of date. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
  const refused = findRefusedLicenses(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')));
  const folder = mkdtempSync(join(tmpdir(), 'unlink-licenses-'));
  try {
    const packages = await findBundledPackages(folder);
    const notice = createNotice(packages);
    const path = join(ROOT, 'NOTICE');
    if (values.write) writeFileSync(path, notice);
    else if (readFileSync(path, 'utf8') !== notice) refused.push('NOTICE is out of date: npm run licenses -- --write');
    console.log(`NOTICE is about ${packages.length} packages`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const sentence of refused) console.error(sentence);
  if (refused.length > 0) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
