/** How an operator brings in where a homeserver knows third-party identifiers to be bound. */
import { basename } from 'node:path';
import * as z from 'zod/mini';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { AllowedHosts, parsePublicHost } from '#shared/outgoing/public-host.ts';
import { canonicalThreepid, isMxid } from '#shared/threepid/threepid.ts';
import { MAX_BINDINGS, type ThreepidBinding, type ThreepidBindings } from '#shared/threepid/threepid-binding.ts';
import { openRows, type RowFormat, readCsv } from './csv-rows.ts';
import { ask, useDirectory } from './directory.ts';
import { concludeImport, importRows } from './import-rows.ts';
import { readSettings } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, YES_OPTION } from './verb.ts';

const ImportEnvironment = {
  ...DirectoryEnvironment,
  ID_SERVER_ALLOW: AllowedHosts,
};

/** A row of Synapse's table. */
type BindingRow = z.output<typeof BindingRow>;
const BindingRow = z.strictObject({
  user_id: z.string().check(z.refine(isMxid)),
  medium: z.enum(['email', 'msisdn']),
  address: z.string(),
  id_server: z.string(),
});

const FORMAT: RowFormat<typeof BindingRow> = {
  schema: BindingRow,
  required: Object.keys(BindingRow.shape),
  rules: { user_id: 'must be the Matrix id of a user', medium: 'must be email or msisdn' },
};

const ADDRESS_RULES = {
  email: 'the field address must be an e-mail address',
  msisdn: 'the field address must be a phone number: up to 15 digits',
} as const;

/** What has become of the rows so far. */
type Tally = Record<'created' | 'unchanged' | 'refused', number>;

/** Remembers the binds that a file lists. */
export const importBindings = defineVerb({
  summary: 'remember the binds of third-party identifiers that a file lists, as often as it is repeated',
  operand: { value: '<file>', help: "CSV with a line of names: the rows of Synapse's user_threepid_id_server" },
  options: { yes: YES_OPTION },
  notes: `
Its columns are user_id, medium, address and id_server. Synapse's PostgreSQL writes it with

  psql synapse -c "\\copy (SELECT user_id, medium, address, id_server FROM user_threepid_id_server) TO 'bindings.csv' WITH CSV HEADER"

A row that cannot be taken is told by its line, and skipped: what is wrong with it, its server is one that no user may
name, or its user has ${MAX_BINDINGS} binds. It can be stopped at any time and repeated: what is known as bound there is left
as it is. What was unbound since comes back: then unbinding it once more asks that server once more.
`,
  async run(values, file) {
    const rows = openRows(file, (name) => readCsv(name, FORMAT));
    const settings = readSettings(ImportEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ threepids }, store) => {
      const given = [
        ['store', store],
        ['file', basename(file)],
      ] as const;
      await confirm(`Remembers the binds that a file lists.\n\n${formatRows(given)}\n`, values.yes);
      const tally: Tally = { created: 0, unchanged: 0, refused: 0 };
      const ports = { threepids, allowed: settings.ID_SERVER_ALLOW, begunAt: Date.now() };
      await importRows(() => rows, {
        // The binds of a user are counted, and kept in the file's order.
        keysOf: (row) => [row.user_id],
        importRow: (row) => importBinding(row, tally, ports),
        tally,
        formatTally: () => formatTally(tally),
      });
      return {
        document: { ...tally, store },
        text: `${concludeImport(tally)}\n\n${formatRows([...given, ...tallyRows(tally)])}`,
        exitCode: tally.refused === 0 ? EXIT.done : EXIT.partly,
      };
    });
  },
});

/** What remembering the rows needs. */
interface ImportPorts {
  readonly threepids: ThreepidBindings;
  /** Hosts that a user may name though they are not public. */
  readonly allowed: readonly string[];
  readonly begunAt: number;
}

/** Remembers one row, and counts what came of it; returns why it cannot be. */
async function importBinding(row: BindingRow, tally: Tally, ports: ImportPorts): Promise<string | undefined> {
  const { threepids } = ports;
  const binding = bindingOf(row, ports);
  if (typeof binding === 'string') return binding;
  const known = await ask((timeoutMs) => threepids.find(binding, timeoutMs));
  // One that is pending there may be refused, and be forgotten; this one is bound all the same.
  if (known.some(({ idServer, state }) => idServer === binding.idServer && state === 'bound')) {
    tally.unchanged += 1;
    return undefined;
  }
  if (!(await ask((timeoutMs) => threepids.put(binding, timeoutMs)))) return `the user has ${MAX_BINDINGS} binds`;
  tally.created += 1;
  return undefined;
}

/** The bind of a row, or why it is none. */
function bindingOf(row: BindingRow, { allowed, begunAt }: ImportPorts): ThreepidBinding | string {
  const threepid = canonicalThreepid(row.medium, row.address);
  if (threepid === undefined) return ADDRESS_RULES[row.medium];
  const idServer = parsePublicHost(row.id_server, allowed);
  if (idServer === undefined)
    return 'the field id_server must be the host of a public server, or one of ID_SERVER_ALLOW';
  return { ...threepid, mxid: row.user_id, idServer, bindId: 'imported', state: 'bound', begunAt };
}

function formatTally({ created, unchanged, refused }: Tally): string {
  return `${created} created, ${unchanged} unchanged, ${refused} refused`;
}

function tallyRows(tally: Tally): readonly (readonly [string, string])[] {
  return (['created', 'unchanged', 'refused'] as const).map((name) => [name, String(tally[name])]);
}
