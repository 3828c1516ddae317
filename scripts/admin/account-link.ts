/** What an operator sees of account links. */
import * as z from 'zod/mini';
import type { AccountLink } from '#shared/account-link/account-link.ts';
import { SubjectId, Text } from '#shared/account-link/request.ts';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { ask, isoTime, useDirectory } from './directory.ts';
import { readSettings } from './settings.ts';
import { defineVerb, EXIT, formatRows, formatTable, formatTime, readOption } from './verb.ts';

const SUBJECT_OPTION = { type: 'string', value: '<sub>', help: 'whose links (required)' } as const;

const PROVIDER_RULE = 'must be <type>:<name>, as in PROVIDERS or providers.json';
const ProviderKey = z.pipe(
  z.string().check(z.regex(/^[^:]+:./su, PROVIDER_RULE)),
  z.transform((key) => ({ fpType: key.slice(0, key.indexOf(':')), fpName: key.slice(key.indexOf(':') + 1) })),
);

/** Lists the links of a subject. */
export const listLinks = defineVerb({
  summary: 'list the account links of a subject, in the order they were made',
  options: { subject: SUBJECT_OPTION },
  notes: '',
  async run(values) {
    const subject = readOption('subject', values.subject, SubjectId);
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async (directory, store) => {
      const links = await ask((timeoutMs) => directory.links.list(subject, timeoutMs));
      const rows = links.map((link) => [
        providerOf(link),
        link.sid,
        link.userName ?? '',
        link.evidence,
        formatTime(Math.floor(link.linkedAt / 1000)),
      ]);
      const given = [
        ['store', store],
        ['subject', subject],
        ['links', String(links.length)],
      ] as const;
      const table =
        rows.length === 0 ? '' : `\n${formatTable(['provider', 'sid', 'name', 'evidence', 'linked at'], rows)}`;
      return { document: { subject, links: links.map(linkFields), store }, text: `${formatRows(given)}${table}` };
    });
  },
});

/** Shows one link. */
export const showLink = defineVerb({
  summary: 'show one account link of a subject, or tell that there is none',
  options: {
    subject: { ...SUBJECT_OPTION, help: 'whose link (required)' },
    provider: { type: 'string', value: '<type>:<name>', help: 'the provider of the account, as vk:vk_1 (required)' },
    sid: { type: 'string', value: '<sid>', help: 'the id of the account at its provider (required)' },
  },
  notes: '',
  async run(values) {
    const subject = readOption('subject', values.subject, SubjectId);
    const { fpType, fpName } = readOption('provider', values.provider, ProviderKey);
    const sid = readOption('sid', values.sid, Text);
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async (directory, store) => {
      const links = await ask((timeoutMs) => directory.links.list(subject, timeoutMs));
      const link = links.find((each) => each.fpType === fpType && each.fpName === fpName && each.sid === sid);
      const rows = [
        ['store', store],
        ['subject', subject],
        ['provider', `${fpType}:${fpName}`],
        ['sid', sid],
        ['name', link?.userName],
        ['evidence', link && EVIDENCE[link.evidence]],
        ['linked at', link && formatTime(Math.floor(link.linkedAt / 1000))],
      ] as const;
      const known = link === undefined ? { fp_type: fpType, fp_name: fpName, sid } : linkFields(link);
      return {
        document: { linked: link !== undefined, subject, ...known, store },
        text: `${link === undefined ? 'Not linked to this subject.' : 'Linked.'}\n\n${formatRows(rows)}`,
        exitCode: link === undefined ? EXIT.absent : EXIT.done,
      };
    });
  },
});

const EVIDENCE = {
  asserted: "asserted: by the account's known id",
  proved: 'proved: by signing in at the provider',
} as const;

function providerOf({ fpType, fpName }: AccountLink): string {
  return `${fpType}:${fpName}`;
}

/** A link for programs. */
function linkFields({ fpType, fpName, sid, userName, evidence, linkedAt }: AccountLink): Record<string, unknown> {
  return {
    ...{ fp_type: fpType, fp_name: fpName, sid, user_name: userName },
    ...{ evidence, linked_at: isoTime(linkedAt) },
  };
}
