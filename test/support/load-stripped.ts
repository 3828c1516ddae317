/** Loaded first by Node's processes: has them load what `stripped-modules.ts` has put beside this file, where it is newer. */
import { readFileSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const changedAt = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

registerHooks({
  load(url, context, nextLoad) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
    const path = fileURLToPath(url);
    const stripped = join(import.meta.dirname, path);
    if (changedAt(stripped) < changedAt(path)) return nextLoad(url, context);
    return { format: 'module', source: readFileSync(stripped), shortCircuit: true };
  },
});
