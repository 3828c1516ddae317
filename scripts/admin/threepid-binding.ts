/** What an operator sees of the binds of third-party identifiers, and forgets. */
import * as z from 'zod/mini';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { canonicalThreepid, isMxid } from '#shared/threepid/threepid.ts';
import type { OwnedThreepid, ThreepidBinding } from '#shared/threepid/threepid-binding.ts';
import { ask, isoTime, useDirectory } from './directory.ts';
import { readSettings } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, formatTable, formatTime, readOption, UsageError, YES_OPTION } from './verb.ts';

const MXID_RULE = 'must be the Matrix id of a user';
const Mxid = z.string(MXID_RULE).check(z.refine(isMxid, MXID_RULE));
const Medium = z.enum(['email', 'msisdn'], 'must be email or msisdn');

const IDENTIFIER_OPTIONS = {
  user: { type: 'string', value: '<mxid>', help: 'whose identifier, as @ann:example.org (required)' },
  medium: { type: 'string', value: '<medium>', help: 'email or msisdn (required)' },
  address: { type: 'string', value: '<address>', help: 'the e-mail address or the phone number (required)' },
} as const;

/** Lists where an identifier is known to be bound. */
export const listBindings = defineVerb({
  summary: 'list the identity servers at which an identifier is known to be bound',
  options: IDENTIFIER_OPTIONS,
  notes: '',
  async run(values) {
    const threepid = readThreepid(values);
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ threepids }, store) => {
      const bindings = await ask((timeoutMs) => threepids.find(threepid, timeoutMs));
      const rows = bindings.map(({ idServer, state, begunAt }) => [
        idServer,
        state,
        formatTime(Math.floor(begunAt / 1000)),
      ]);
      const table = rows.length === 0 ? '' : `\n${formatTable(['identity server', 'state', 'begun at'], rows)}`;
      return {
        document: { ...threepid, bindings: bindings.map(bindingFields), store },
        text: `${formatRows([...rowsOf(threepid, store), ['binds', String(bindings.length)]])}${table}`,
      };
    });
  },
});

/** Forgets where an identifier is bound, for a server that will never unbind it. */
export const forgetBindings = defineVerb({
  summary: 'forget that an identifier is bound at an identity server, one that is gone for good',
  options: {
    ...IDENTIFIER_OPTIONS,
    'id-server': { type: 'string', value: '<host>', help: 'the identity server, as bindings list has it (required)' },
    yes: YES_OPTION,
  },
  notes: `
Nothing is unbound: an unbind that names no server does not ask this one any more. Without it, an unbind of an identifier
that was bound at a server that is gone fails for ever, though every other server has done it.
`,
  async run(values) {
    const threepid = readThreepid(values);
    const idServer = readOption('id-server', values['id-server'], z.string());
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ threepids }, store) => {
      const known = await ask((timeoutMs) => threepids.find(threepid, timeoutMs));
      const forgotten = known.filter((binding) => binding.idServer === idServer);
      const rows = [...rowsOf(threepid, store), ['identity server', idServer]] as const;
      if (forgotten.length > 0) {
        await confirm(`Forgets that an identifier is bound.\n\n${formatRows(rows)}\n`, values.yes);
        await ask((timeoutMs) => threepids.forget(forgotten, timeoutMs));
      }
      return {
        document: { ...threepid, id_server: idServer, forgotten: forgotten.length, store },
        text: `${forgotten.length === 0 ? 'It is not known to be bound there.' : 'Forgotten.'}\n\n${formatRows(rows)}`,
        exitCode: forgotten.length === 0 ? EXIT.absent : EXIT.done,
      };
    });
  },
});

function readThreepid(values: Partial<Record<'user' | 'medium' | 'address', string | undefined>>): OwnedThreepid {
  const mxid = readOption('user', values.user, Mxid);
  const medium = readOption('medium', values.medium, Medium);
  const threepid = canonicalThreepid(medium, readOption('address', values.address, z.string()));
  if (threepid === undefined) throw new UsageError('--address must be one of its medium.');
  return { mxid, ...threepid };
}

function rowsOf({ mxid, medium, address }: OwnedThreepid, store: string) {
  return [
    ['store', store],
    ['user', mxid],
    [medium, address],
  ] as const;
}

/** A bind for programs. */
function bindingFields({ idServer, state, begunAt }: ThreepidBinding): Record<string, unknown> {
  return { id_server: idServer, state, begun_at: isoTime(begunAt) };
}
