/** How an operator ends a grant at the authorization server by hand. */
import { createApiCredentials } from '#shared/grant-revocation/api-credentials.ts';
import {
  type ApiEnding,
  type EndedToken,
  EndGrantEnvironment,
  findGrantEnding,
  grantEndingsOf,
  placeholdersOfEnding,
  type UpstreamResult,
} from '#shared/grant-revocation/end-grant.ts';
import { endGrant as endByApi } from '#shared/grant-revocation/grant-api.ts';
import type { FailedAttempt } from '#shared/grant-revocation/revoke-grant.ts';
import { fillTemplate } from '#shared/grant-revocation/url-template.ts';
import { send } from '#shared/outgoing/send.ts';
import type { Settings } from '#shared/settings.ts';
import { readSettings } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, UsageError, YES_OPTION } from './verb.ts';

/** How long all calls of the server's API may take together, in milliseconds. */
const TIMEOUT_MS = 30_000;

/** The server has not confirmed that it has ended the grant. The message is a sentence for an operator, and holds no secret. */
export class EndingFailed extends Error {}

/** Ends a grant at its authorization server, as a row of `END_GRANT` says. */
export const endGrant = defineVerb({
  summary: 'end the grant of a user at the authorization server itself, and tell what it reached',
  options: {
    issuer: { type: 'string', value: '<iss>', help: 'whose row of END_GRANT; needed unless END_GRANT has just one' },
    subject: {
      type: 'string',
      value: '<id>',
      help: "what the server's API knows the user by: the value of the row's user claim, which is the subject for most presets",
    },
    client: { type: 'string', value: '<client_id>', help: 'the client that the user gave the grant to' },
    grant: { type: 'string', value: '<id>', help: 'this grant alone, where the API names grants' },
    jti: { type: 'string', value: '<id>', help: 'the id of a token, for a row whose URL has {jti}' },
    yes: YES_OPTION,
  },
  notes: `
END_GRANT is the functions' own, with its credentials. The user claim is "user_claim" of the row; without it, it is uid of
Okta, username of Cognito, oid of Entra ID, and sub of all others. Give what the calls of the row name: a command without it
says what is missing. No store is needed, and no job is written.

All that the user has at the client ends, also what was linked a moment ago. With --grant, that grant alone ends. The access
tokens issued so far live until they expire. "revoke --subject <sub> --client <client_id>" refuses them: run it after this
command, or a refresh in between yields one that is accepted.

A row of preset rfc7009 cannot do it: it ends a grant by a token, and there is none here.
`,
  async run({ issuer, yes, 'data-dir': dataDir, subject, client, grant, jti }) {
    const given = { subject, client, grant, jti };
    for (const [name, value] of Object.entries(given)) assertValue(name, value);
    const ending = findEnding(readSettings(EndGrantEnvironment, dataDir), issuer);
    assertNamed(ending, given);
    const { userClaim: claim } = ending;
    const user = claim !== undefined && subject !== undefined ? { user: { claim, value: subject } } : {};
    // Of no token, and without `until`: all that is there ends.
    const meant: EndedToken = { token: '', ...given, ...user };

    const rows = rowsOf(ending, given);
    await confirm(`${effectOf(ending)}\n\n${formatRows(rows)}\n`, yes);
    const attempt = await endByApi(ending, meant, {
      ...{ send, credentials: createApiCredentials(), timeoutMs: TIMEOUT_MS },
    });
    if (attempt.status !== 'done') throw new EndingFailed(explain(attempt));
    const { result } = attempt;
    return {
      document: {
        ...{ result, issuer: ending.issuer, preset: ending.preset, subject, client, jti, grant: grant !== undefined },
      },
      text: `${conclusion(result, given)}\n\n${formatRows(rows)}`,
      exitCode: result === 'ended_in_part' ? EXIT.partly : EXIT.done,
    };
  },
});

/** What is given of a grant. */
type Given = Readonly<Record<'subject' | 'client' | 'grant' | 'jti', string | undefined>>;

/** @throws {UsageError} */
function assertValue(name: string, value: string | undefined): void {
  if (value === undefined) return;
  // As long as the claims of a token may be.
  if (!/^.{1,1024}$/su.test(value)) throw new UsageError(`--${name} must have 1 to 1024 characters.`);
  if ('fault' in fillTemplate(`{${name}}`, { [name]: value })) {
    throw new UsageError(`--${name} must be fit for a URL: no part of it between slashes may be "." or "..".`);
  }
}

/** @throws {UsageError} No row of the issuer calls an API. */
function findEnding(settings: Settings<typeof EndGrantEnvironment>, given: string | undefined): ApiEnding {
  const issuers = (settings.END_GRANT ?? []).map((row) => row.issuer);
  const [only, ...others] = issuers;
  const issuer = given ?? (others.length === 0 ? only : undefined);
  const ending = issuer === undefined ? undefined : findGrantEnding(grantEndingsOf(settings), issuer);
  if (ending?.preset === 'rfc7009') {
    const row = ending.issuer === undefined ? 'REVOKE_UPSTREAM' : 'The row of preset rfc7009';
    throw new UsageError(
      `${row} ends a grant by a token of it, and there is none here. End the grant in the server's own console, or give the issuer a row of END_GRANT with another preset; "revoke --subject … --client …" refuses the tokens issued so far.`,
    );
  }
  if (ending !== undefined) return ending;
  if (only === undefined) throw new UsageError('END_GRANT is not set: it says how the server ends a grant.');
  const fault = given === undefined ? 'is missing; END_GRANT has' : 'has no row of END_GRANT, which has';
  throw new UsageError(`--issuer ${fault} ${issuers.join(', ')}.`);
}

/**
 * Holds what is given against what the row's calls name.
 *
 * @throws {UsageError} Something is missing; or it would be left out, and more would end than was meant.
 */
function assertNamed(ending: ApiEnding, given: Given): void {
  const { preset, api } = ending;
  const named = placeholdersOfEnding(ending, given);
  for (const name of ['subject', 'client', 'grant', 'jti'] as const) {
    if (!named.has(name) || given[name] !== undefined) continue;
    throw new UsageError(`--${name} is missing: the row of END_GRANT (preset ${preset}) needs it.`);
  }
  const endsOne = (given.grant !== undefined && api.namesGrant) || named.has('grant') || named.has('jti');
  const isLeftOut = {
    grant: !named.has('grant') && api.namesGrant !== true,
    jti: !named.has('jti'),
    client: !named.has('client') && !endsOne,
  };
  for (const name of ['grant', 'jti', 'client'] as const) {
    if (given[name] === undefined || !isLeftOut[name]) continue;
    throw new UsageError(
      `--${name} has no effect: the row of END_GRANT (preset ${preset}) does not name it, and would end more. Leave it out to end that.`,
    );
  }
}

const EFFECTS = {
  token: 'Ends the token at the authorization server.',
  grant: 'Ends the grant at the authorization server.',
  all_clients: 'Ends the grants of the user at every client of the authorization server.',
} as const;

function effectOf({ api, reaches }: ApiEnding): string {
  const isShared = api.steps.some((step) => 'list' in step && step.isShared === true);
  if (reaches !== 'all_clients' || !isShared) return EFFECTS[reaches];
  return 'Ends the grant at the authorization server; where other clients share its session, also theirs.';
}

/** What will end, for people. A grant is named, and not shown. */
function rowsOf({ issuer, preset, userClaim = 'sub' }: ApiEnding, { subject, client, grant, jti }: Given) {
  return [
    ['issuer', issuer],
    ['preset', preset],
    [`user (${userClaim})`, subject],
    ['client', client],
    ['grant', grant && 'named'],
    ['token', jti && 'named'],
  ] as const;
}

function conclusion(result: UpstreamResult, { grant, jti, client, subject }: Given): string {
  switch (result) {
    case 'upstream_token':
      return 'The server has ended the token.';
    case 'upstream_grant':
      return 'The server has ended the grant.';
    case 'upstream_all_clients':
      return 'The server has ended the grants of the user at every client.';
    case 'ended_in_part':
      return 'Ended in part: the user has a session that other clients share, and the row of END_GRANT does not allow to end it. "reaches": "all_clients" in the row does.';
    case 'nothing_found':
      if (grant !== undefined) return 'The server has no such grant.';
      if (jti !== undefined) return 'The server has no such token.';
      if (client !== undefined) return 'The server has nothing of the user at the client.';
      return `The server has nothing of the ${subject === undefined ? 'grant' : 'user'}.`;
  }
}

function explain(attempt: FailedAttempt): string {
  const sentence = `The server has not confirmed it: ${attempt.error}.`;
  if (attempt.status === 'failed') return sentence;
  if (attempt.isOurFault === true) return `${sentence} Mend that, and repeat the command.`;
  const { retryAfterMs } = attempt;
  const pause = retryAfterMs === undefined ? '' : ` in ${Math.ceil(retryAfterMs / 1000)} s, as the server asks`;
  return `${sentence} Repeat the command${pause}.`;
}
