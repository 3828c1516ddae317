/** How an operator brings revocations back that a store has lost or refused. */
import { basename } from 'node:path';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { importRows } from './import-rows.ts';
import { keysOf, type LoggedRevocation, openLoggedRevocations } from './logged-revocations.ts';
import { readSettings, storeName } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, YES_OPTION } from './verb.ts';

/** How long the store may take for one revocation in all, in milliseconds. */
const TIMEOUT_MS = 3000;

/** What has become of the lines so far: `other` are no revocations. */
type Tally = Record<'restored' | 'known' | 'expired' | 'refused' | 'other', number>;

/** Writes the revocations of exported log lines into the store again. */
export const rebuildRevocations = defineVerb({
  summary: 'write the revocations that log lines carry into the store again, as often as it is repeated',
  operand: { value: '<file>', help: 'JSON Lines: log lines of the functions, or entries of Cloud Logging' },
  options: { yes: YES_OPTION },
  notes: `
For a store that was lost, and for unlinks that it refused: their error lines carry the revocation too. Cloud Logging
gives at most 1000 entries at a time; several files may be joined, in any order, and overlap:

  yc logging read --group-id <id> --since <time> --until <time> --limit 1000 \\
    --filter 'json_payload.revocation EXISTS' --format json | jq -c '.[]' >> log.jsonl

A cut-off is set as of then: what was issued later is let in. What has expired is left out, and so are lines of anything
else. A line that holds a revocation and cannot be read is told by its number, and skipped. Whoever can write to the
log can revoke by it, and no more than that. It can be stopped at any time and repeated.
`,
  async run(values, file) {
    const tally: Tally = { restored: 0, known: 0, expired: 0, refused: 0, other: 0 };
    const rows = openLoggedRevocations(file, tally);
    const settings = readSettings(TokenRevocationStoreEnvironment, values['data-dir']);
    const given = [
      ['store', storeName(settings)],
      ['file', basename(file)],
    ] as const;
    const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
    try {
      await confirm(`Writes the revocations of log lines into the store.\n\n${formatRows(given)}\n`, values.yes);
      await importRows(rows, {
        keysOf,
        importRow: (revocation) => restore(revocation, tally, store),
        tally,
        formatTally: () => formatTally(tally),
      });
    } finally {
      await store.close();
    }
    return {
      document: { ...tally, store: given[0][1] },
      text: `${conclusion(tally)}\n\n${formatRows([...given, ...tallyRows(tally)])}`,
      exitCode: tally.refused === 0 ? EXIT.done : EXIT.partly,
    };
  },
});

/** Writes one revocation, and counts whether it was missing. */
async function restore(revocation: LoggedRevocation, tally: Tally, store: TokenRevocationStore): Promise<undefined> {
  const { first } = await retryWhileUnavailable(TIMEOUT_MS, (timeoutMs) => store.revoke(revocation, timeoutMs));
  tally[first ? 'restored' : 'known'] += 1;
}

function conclusion({ restored, known, expired, refused }: Tally): string {
  if (refused > 0) return `${refused} lines were skipped.`;
  if (restored + known + expired === 0) return 'No line of the file holds a revocation.';
  return 'Every revocation of the file that has not expired is in the store.';
}

function formatTally({ restored, known, refused }: Tally): string {
  return `${restored} restored, ${known} known, ${refused} refused`;
}

function tallyRows(tally: Tally): readonly (readonly [string, string])[] {
  return [
    ['restored', `${tally.restored}`],
    ['known', `${tally.known}`],
    ['expired', `${tally.expired}`],
    ['refused', `${tally.refused}`],
    ['other lines', `${tally.other}`],
  ];
}
