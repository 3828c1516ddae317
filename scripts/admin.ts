import { OlderSchema } from '#shared/databases/store-schema.ts';
import { isStoreUnavailable, Misconfigured } from '#shared/errors.ts';
import { OutgoingFailure } from '#shared/outgoing/send.ts';
import { listLinks, showLink } from './admin/account-link.ts';
import { backup } from './admin/backup.ts';
import { rotateKeys } from './admin/encryption.ts';
import { EndingFailed, endGrant } from './admin/end-grant.ts';
import { importBindings } from './admin/import-bindings.ts';
import { importLinks } from './admin/import-links.ts';
import { Interrupted } from './admin/long-work.ts';
import { listJobs, replayJob, showJob } from './admin/outbox.ts';
import { rebuildRevocations } from './admin/rebuild-revocations.ts';
import { SETTINGS_HELP } from './admin/settings.ts';
import { CopyFailed } from './admin/sqlite-copy.ts';
import { forgetBindings, listBindings } from './admin/threepid-binding.ts';
import { check, purge, revoke } from './admin/token-revocation.ts';
import { describeArguments, EXIT, formatRows, Unfinished, UsageError, type Verb } from './admin/verb.ts';

/** A verb is one word or two: `purge`, `outbox list`. */
const VERBS: Readonly<Record<string, Verb>> = {
  ...{ revoke, check, purge },
  'end-grant': endGrant,
  backup,
  'rebuild-revocations': rebuildRevocations,
  'import-links': importLinks,
  'import-bindings': importBindings,
  'bindings list': listBindings,
  'bindings forget': forgetBindings,
  'links list': listLinks,
  'links show': showLink,
  'outbox list': listJobs,
  'outbox show': showJob,
  'outbox replay': replayJob,
  'rotate-keys': rotateKeys,
};

const EXIT_HELP = `
Exit status:

  0  done; of check: not revoked; of end-grant: confirmed, or there was nothing to end
  2  nothing was done: a wrong option, setting or token, or it was not confirmed
  3  the store or an issuer failed: what was asked is not known to be done, and may be repeated
  4  of check: revoked; of links show, outbox show and bindings forget: there is none
  5  of imports, rebuild-revocations and rotate-keys: a part was not done, standard error tells which; of end-grant: a part
     goes on
  130  interrupted by Ctrl-C, 143 by SIGTERM: standard error tells what was done, and the command may be repeated
`;

/** The operator's command line: one verb, its outcome on standard output, all else on standard error. */
async function main(args: readonly string[]): Promise<number> {
  const [name, verb, rest] = findVerb(args);
  if (verb === undefined) {
    if (['--help', '-h', 'help'].includes(args[0] ?? '')) {
      process.stdout.write(help());
      return EXIT.done;
    }
    throw new UsageError(`The verb must be one of: ${Object.keys(VERBS).join(', ')}. --help tells more.`);
  }
  const result = await verb.run(rest);
  if (result === 'help') {
    process.stdout.write(verbHelp(name, verb));
    return EXIT.done;
  }
  const { document, text, exitCode = EXIT.done } = result.outcome;
  process.stdout.write(result.asJson ? `${JSON.stringify(document)}\n` : text);
  return exitCode;
}

function findVerb(args: readonly string[]): [name: string, verb: Verb | undefined, rest: readonly string[]] {
  const words = [2, 1].find((count) => Object.hasOwn(VERBS, args.slice(0, count).join(' '))) ?? 0;
  const name = args.slice(0, words).join(' ');
  return [name, VERBS[name], args.slice(words)];
}

function help(): string {
  const verbs = formatRows(Object.entries(VERBS).map(([name, { summary }]) => [name, summary]));
  return `npm run admin -- <verb> [options]\n\n${verbs}\n<verb> --help tells more of one.\n${SETTINGS_HELP}${EXIT_HELP}`;
}

function verbHelp(name: string, verb: Verb): string {
  const usage = [name, verb.operand?.value, '[options]'].filter(Boolean).join(' ');
  return `npm run admin -- ${usage}: ${verb.summary}\n\n${describeArguments(verb)}${verb.notes}${SETTINGS_HELP}${EXIT_HELP}`;
}

/** What went wrong, in one sentence: a stack helps nobody at a command line, and a cause may quote a secret. */
function complain(error: unknown): number {
  if (error instanceof UsageError || error instanceof Misconfigured) {
    console.error(error.message);
    return EXIT.usage;
  }
  if (error instanceof Interrupted) {
    console.error(error.message);
    return error.exitCode;
  }
  if (error instanceof CopyFailed || error instanceof EndingFailed) {
    console.error(error.message);
    return EXIT.trouble;
  }
  if (error instanceof Unfinished && isStoreUnavailable(error.cause)) {
    console.error(`The store failed (${error.cause.fault}): ${error.message}`);
    return EXIT.trouble;
  }
  // Before the store: its failures are known by what they look like, and an issuer's look the same.
  if (error instanceof OutgoingFailure) console.error(`An issuer failed (${error.fault}): nothing was done.`);
  else if (isStoreUnavailable(error)) {
    console.error(`The store failed (${error.fault}): nothing is known to be done.`);
    if (error.cause instanceof OlderSchema) console.error(error.cause.message);
  } else
    console.error(`This command failed (${error instanceof Error ? error.name : typeof error}): please report it.`);
  return EXIT.trouble;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.exitCode = complain(error);
  },
);
