import { fileURLToPath } from 'node:url';
import { createSbom } from './release/sbom.ts';

/** The command line: `npm run --silent sbom > sbom.json`. */
function main(): void {
  process.stdout.write(createSbom(fileURLToPath(new URL('../', import.meta.url))));
}

main();
