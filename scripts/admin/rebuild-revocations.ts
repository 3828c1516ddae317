/** How an operator brings revocations back that a store has lost or refused. */
import { basename } from 'node:path';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { importRows } from './import-rows.ts';
import { keysOf, type LineCounts, type LoggedRevocation, openLoggedRevocations } from './logged-revocations.ts';
import { readSettings, storeName } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, YES_OPTION } from './verb.ts';

/** How long the store may take for one revocation in all, in milliseconds. */
const TIMEOUT_MS = 3000;

/** What has become of the lines so far; `restored` and `known` were taken. */
type Tally = LineCounts & Record<'restored' | 'known' | 'refused', number>;

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

The file is in UTF-8, or in UTF-16 from its first byte to its last with a byte order mark in front. A line in another
encoding is told by its number, and skipped; so is a line that holds a revocation and cannot be read. Then the status
is 5, and not all is in the store. Lines of anything else are counted and left out, and so is what has expired.

A cut-off is set as of then: what was issued later is let in. Whoever can write to the log can revoke by it, and no more
than that. It can be stopped at any time and repeated.
`,
  async run(values, file) {
    const tally: Tally = { lines: 0, restored: 0, known: 0, refused: 0, expired: 0, blank: 0, texts: 0, json: 0 };
    const rows = openLoggedRevocations(file, tally);
    const settings = readSettings(TokenRevocationStoreEnvironment, values['data-dir']);
    const given = [
      ['store', storeName(settings)],
      ['file', basename(file)],
    ] as const;
    const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
    let reasons: ReadonlyMap<string, number>;
    try {
      await confirm(`Writes the revocations of log lines into the store.\n\n${formatRows(given)}\n`, values.yes);
      reasons = await importRows(rows, {
        keysOf,
        importRow: (revocation) => restore(revocation, tally, store),
        tally,
        formatTally: () => formatTally(tally),
        formatReading: () => `${tally.lines} lines read`,
      });
    } finally {
      await store.close();
    }
    return {
      document: { ...tallyFields(tally), refused_for: Object.fromEntries(reasons), store: given[0][1] },
      text: `${conclusion(tally)}\n\n${formatRows([...given, ...tallyRows(tally)])}${formatReasons(reasons)}`,
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
  if (refused > 0) return `${refused} lines could not be read: what they revoke is not in the store.`;
  if (restored + known + expired === 0) return 'No line of the file holds a revocation.';
  return 'Every revocation of the file that has not expired is in the store.';
}

function formatTally({ restored, known, refused }: Tally): string {
  return `${restored} restored, ${known} known, ${refused} refused`;
}

/** The counts for programs. */
function tallyFields({ blank, texts, json, ...tally }: Tally): Record<string, number> {
  return { ...tally, other: blank + texts + json };
}

function formatReasons(reasons: ReadonlyMap<string, number>): string {
  if (reasons.size === 0) return '';
  return `\nRefused:\n\n${formatRows([...reasons].map(([reason, count]) => [String(count), reason]))}`;
}

function tallyRows(tally: Tally): readonly (readonly [string, string])[] {
  const { blank, texts, json } = tally;
  return [
    ['lines read', `${tally.lines}`],
    ['restored', `${tally.restored}`],
    ['known', `${tally.known}`],
    ['expired', `${tally.expired}`],
    ['refused', `${tally.refused}`],
    ['other lines', `${blank + texts + json}: ${blank} blank, ${texts} texts, ${json} JSON without a revocation`],
  ];
}
