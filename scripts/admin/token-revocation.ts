/** What an operator does with the token revocation store: revoke, check, purge. */
import type { AuthorizePorts } from '#shared/access-token/authorize.ts';
import { type IdentifiedToken, identifyToken } from '#shared/access-token/identify.ts';
import { AuthorizeEnvironment, openAuthorizePorts } from '#shared/access-token/open-ports.ts';
import { tokenField } from '#shared/access-token/revoke-token.ts';
import type { Verification, VerifiedToken } from '#shared/access-token/verify.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { isStoreUnavailable } from '#shared/errors.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import type { Settings } from '#shared/settings.ts';
import { keptUntil, MaxTokenLifetime } from '#shared/token-revocation/lifetime.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import {
  logRevocation,
  type Revocation,
  type RevocationStatus,
  type TokenRevocationStore,
} from '#shared/token-revocation/store.ts';
import { type CutOffScope, cutOffKeys, type Pepper, textIds } from '#shared/token-revocation/token-id.ts';
import { doLongWork } from './long-work.ts';
import { readSettings, storeName } from './settings.ts';
import { confirm, readSecret } from './terminal.ts';
import {
  defineVerb,
  EXIT,
  formatRows,
  formatTime,
  type Outcome,
  readCount,
  Unfinished,
  UsageError,
  YES_OPTION,
} from './verb.ts';

const RevokeEnvironment = { ...AuthorizeEnvironment, MAX_TOKEN_LIFETIME_S: MaxTokenLifetime };
type RevokeSettings = Settings<typeof RevokeEnvironment>;

/** How long an issuer, and how long the store, may take in all. */
const TIMEOUT_MS = 3000;

const TOKEN_OPTION = {
  type: 'boolean',
  help: 'the token that standard input holds; typed unseen at a terminal; never an argument',
} as const;

const MATRIX_OPTION = {
  type: 'boolean',
  help: 'the token is a Matrix access token: it is looked up by its text alone, and no issuer is asked about it',
} as const;

/** Revokes a token, or all that was issued so far for a subject, a client, or a subject at a client. */
export const revoke = defineVerb({
  summary: 'refuse a token, or all tokens issued so far for a subject, a client, or a subject at a client',
  options: {
    'token-stdin': TOKEN_OPTION,
    matrix: MATRIX_OPTION,
    subject: { type: 'string', value: '<sub>', help: 'all tokens of this subject' },
    client: { type: 'string', value: '<client_id>', help: 'all tokens of this client; with --subject of that link' },
    issuer: { type: 'string', value: '<iss>', help: 'whose subject and client; needed unless ISSUERS has just one' },
    yes: YES_OPTION,
  },
  notes: `
--token-stdin revokes the token, and its grant when it is verified and names one. Where it names none, a refresh token
may yield new ones: --subject with --client ends those issued so far as well.

--subject and --client set a cut-off: tokens with an "iat" up to this second are refused, whatever their grant, and so
are those without "iat", for as long as it is kept; a token issued later is let in. --subject with --client does not
reach tokens that name no client: --subject alone does.

--token-stdin --matrix revokes the access token of a Matrix user for threepid-unbind and threepid-bind. The homeserver is
told nothing: log the session out there as well. --subject, --client and --issuer do not reach Matrix tokens, of which
nothing but their text is known here: each is revoked by itself.

--json holds the revocation as keyed digests, as the functions log it: keep it to rebuild a store that is lost.
`,
  async run(values) {
    const settings = readSettings(RevokeEnvironment, values['data-dir']);
    const store = storeName(settings);
    const scope = readScope(values, settings);
    const ports = openPorts(settings);
    try {
      return scope === undefined
        ? await revokeToken(ports, settings, { store, yes: values.yes, isMatrix: values.matrix === true })
        : await revokeScope(ports, settings, scope, { store, yes: values.yes });
    } finally {
      await ports.revocations.close();
    }
  },
});

/** Tells whether a token is revoked and by what. */
export const check = defineVerb({
  summary: 'tell whether a token is revoked, by what, and what is known of it',
  options: { 'token-stdin': { ...TOKEN_OPTION, help: `${TOKEN_OPTION.help} (required)` }, matrix: MATRIX_OPTION },
  notes: `
A token that ISSUERS verify is looked up by itself, its grant, its subject, its client and its link; any other by itself
alone. Whether it has expired changes nothing of that. With --matrix it is looked up as threepid-unbind and threepid-bind
do it, by its text alone, and the homeserver is not asked.
`,
  async run(values) {
    if (values['token-stdin'] !== true) throw new UsageError('--token-stdin is missing: a token is no argument.');
    const settings = readSettings(AuthorizeEnvironment, values['data-dir']);
    const store = storeName(settings);
    const ports = openPorts(settings);
    try {
      const { token, verification } = await readToken(ports, values.matrix === true);
      const { presented, tokenIds } = identify(token, verification, ports.peppers);
      const status = await retryWhileUnavailable(TIMEOUT_MS, (timeoutMs) =>
        ports.revocations.check(presented, timeoutMs),
      );
      const rows = [['store', store], ['token id', tokenIds[0]], ...knownRows(verification)] as const;
      return {
        document: { ...status, store, token_ids: tokenIds, ...knownFields(verification) },
        text: `${conclusion(status, verification)}\n\n${formatRows(rows)}`,
        exitCode: status.revoked ? EXIT.revoked : EXIT.done,
      };
    } finally {
      await ports.revocations.close();
    }
  },
});

function conclusion(status: RevocationStatus, { status: known }: Known): string {
  if (status.revoked) return `Revoked, by ${REVOKED_BY[status.by]}.`;
  if (known === 'matrix') return 'Not revoked here. The homeserver was not asked whether it accepts the token.';
  return known === 'verified'
    ? 'Not revoked.'
    : 'Not revoked by its own id; its grant, subject and client are not known.';
}

const REVOKED_BY = { token: 'its own id', grant: 'its grant', cut_off: 'a cut-off' } as const;

/** Deletes what has expired. */
export const purge = defineVerb({
  summary: 'delete the revocations that have expired, a batch at a time, until none is left',
  options: {
    batch: {
      type: 'string',
      value: '<rows>',
      help: 'the most rows of one batch: 1 to 10000, default 1000',
    },
    yes: YES_OPTION,
  },
  notes: `
A revocation expires when no token that it refuses can be alive; a grant's never does. It can be stopped at any time.
`,
  async run(values) {
    const batch = readCount('batch', values.batch, { standard: 1000, most: 10_000 });
    const settings = readSettings(TokenRevocationStoreEnvironment, values['data-dir']);
    const name = storeName(settings);
    const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
    try {
      await confirm(
        `Deletes all rows that have expired, ${batch} at a time.\n\n${formatRows([['store', name]])}\n`,
        values.yes,
      );
      const deleted = await purgeAll(store, batch);
      return { document: { deleted, store: name }, text: `Deleted ${deleted} rows that had expired.\n` };
    } finally {
      await store.close();
    }
  },
});

/**
 * Deletes all that has expired; returns how many rows that were.
 *
 * @throws {Unfinished}
 * @throws {Interrupted}
 */
async function purgeAll(store: TokenRevocationStore, batch: number): Promise<number> {
  let deleted = 0;
  const report = {
    progress: () => `${deleted} rows deleted`,
    done: () => `${deleted} rows were deleted. Repeat the command.`,
  };
  try {
    await doLongWork(report, async ({ signal, show }) => {
      while (!signal.aborted) {
        // A batch is a call of its own: other writers get their turn, and what is deleted stays so when one fails.
        const count = await retryWhileUnavailable(TIMEOUT_MS, () => store.purgeExpired(batch));
        if (count === 0) return;
        deleted += count;
        show();
      }
    });
  } catch (error) {
    if (!isStoreUnavailable(error) || deleted === 0) throw error;
    throw new Unfinished(report.done(), { cause: error });
  }
  return deleted;
}

/** Without `ISSUERS` there is nobody to verify a token: whoever operates the store may name it all the same. */
function openPorts(settings: Settings<typeof AuthorizeEnvironment>): AuthorizePorts {
  return openAuthorizePorts(
    settings.ISSUERS === undefined ? { ...settings, UNVERIFIED_TOKENS: '1' } : settings,
    LOCAL_PLATFORM,
  );
}

interface Context {
  readonly store: string;
  readonly yes: boolean | undefined;
}

async function revokeToken(
  ports: AuthorizePorts,
  settings: RevokeSettings,
  { store, yes, isMatrix }: Context & { readonly isMatrix: boolean },
): Promise<Outcome> {
  const { token, verification } = await readToken(ports, isMatrix);
  if (verification.status === 'refused') {
    throw new UsageError(
      `Nothing was done: the token is none that ISSUERS verify (${verification.reason}), and is refused as it is. ` +
        'A Matrix access token is revoked with --matrix.',
    );
  }
  const { presented, grants, ...identified } = identify(token, verification, ports.peppers);
  // Without ISSUERS a JWT may be a homeserver's, whose functions look for its text alone.
  const tokenIds =
    verification.status === 'unverified'
      ? [...new Set([...identified.tokenIds, textIds(token, ports.peppers).current])]
      : identified.tokenIds;
  const rows = [
    ['store', store],
    ['revokes', isMatrix ? 'a Matrix access token, at our functions alone' : reachOf(grants)],
    ...knownRows(verification),
  ] as const;
  await confirm(`Revokes a token.\n\n${formatRows(rows)}\n`, yes);

  const known: Partial<VerifiedToken> = verification.status === 'verified' ? verification.token : {};
  return await record(ports, {
    rows,
    fields: { store, ...knownFields(verification) },
    revocation: (nowS) => ({
      tokenIds,
      grants,
      cutOffs: [],
      expiresAt: keptUntil(nowS, settings.MAX_TOKEN_LIFETIME_S, known),
      ...(grants.length > 0 && known.grantLifetimeS !== undefined && { grantsExpireAt: nowS + known.grantLifetimeS }),
      presented,
    }),
  });
}

function reachOf(grants: readonly string[]): string {
  return grants.length > 0 ? 'the token and its grant' : 'the token alone: its grant is not known';
}

async function revokeScope(
  ports: AuthorizePorts,
  settings: RevokeSettings,
  scope: Scope,
  { store, yes }: Context,
): Promise<Outcome> {
  const { issuer, subject, client } = scope;
  // Up to now by the issuer's clock, as an unlink does.
  const offsetS = settings.ISSUERS?.find((row) => row.issuer === issuer)?.iat_offset_s ?? 0;
  const rows = [
    ['store', store],
    ['revokes', 'all tokens issued up to now'],
    ['issuer', issuer],
    ['subject', subject],
    ['client', client],
    ['not reached', 'Matrix access tokens: each is revoked with --token-stdin --matrix'],
  ] as const;
  await confirm(`Sets a cut-off.\n\n${formatRows(rows)}\n`, yes);

  return await record(ports, {
    rows,
    fields: { store, issuer, subject, client },
    revocation: (nowS) => ({
      tokenIds: [],
      grants: [],
      cutOffs: [{ key: cutOffKeys(cutOffScope(scope), ports.peppers).current, issuedUpTo: nowS + offsetS }],
      expiresAt: keptUntil(nowS, settings.MAX_TOKEN_LIFETIME_S),
    }),
  });
}

/** Writes a revocation that was agreed to, as of now, and tells of it. */
async function record(
  { revocations }: AuthorizePorts,
  plan: {
    readonly rows: readonly (readonly [string, string | undefined])[];
    readonly fields: Readonly<Record<string, unknown>>;
    readonly revocation: (nowS: number) => Revocation;
  },
): Promise<Outcome> {
  const nowS = Math.floor(Date.now() / 1000);
  const revocation = plan.revocation(nowS);
  const { first, at } = await retryWhileUnavailable(TIMEOUT_MS, (timeoutMs) =>
    revocations.revoke(revocation, timeoutMs),
  );
  const [cutOff] = revocation.cutOffs;
  const rows = [
    ...plan.rows,
    ['issued up to', cutOff && formatTime(cutOff.issuedUpTo)],
    ['kept until', `${formatTime(revocation.expiresAt)}${formatGrantExpiry(revocation)}`],
  ] as const;
  return {
    document: { first, at, ...plan.fields, revocation: logRevocation(revocation, nowS) },
    text: `${first ? 'Revoked.' : `It was revoked already, at ${formatTime(at)}.`}\n\n${formatRows(rows)}`,
  };
}

/** Until when the grants are kept, to be put behind the expiry of the rest. */
function formatGrantExpiry({ grants, grantsExpireAt }: Revocation): string {
  if (grants.length === 0) return '';
  return grantsExpireAt === undefined ? ', the grant for good' : `, the grant until ${formatTime(grantsExpireAt)}`;
}

/** Whose tokens a cut-off ends: of a subject, a client, or both, at an issuer. */
interface Scope {
  readonly issuer: string;
  readonly subject: string | undefined;
  readonly client: string | undefined;
}

/** A subject at a client is what functions call a link: a token is looked up by this key whenever it names both. */
function cutOffScope({ issuer, subject, client }: Scope): CutOffScope {
  if (subject !== undefined) return client === undefined ? { issuer, subject } : { issuer, link: [subject, client] };
  return { issuer, client: client ?? '' };
}

function readScope(
  values: { readonly [name in 'issuer' | 'subject' | 'client']?: string | undefined } & {
    readonly 'token-stdin'?: boolean | undefined;
    readonly matrix?: boolean | undefined;
  },
  { ISSUERS, UNVERIFIED_TOKENS }: RevokeSettings,
): Scope | undefined {
  const { subject, client } = values;
  const isScope = subject !== undefined || client !== undefined;
  if (isScope === (values['token-stdin'] === true)) {
    throw new UsageError('What to revoke is either --token-stdin, or --subject, --client or both.');
  }
  if (isScope && values.matrix === true) {
    throw new UsageError('--matrix goes with --token-stdin: no cut-off reaches a Matrix token.');
  }
  if (!isScope) {
    if (values.issuer === undefined) return undefined;
    throw new UsageError('--issuer goes with --subject or --client: a token says itself whose it is.');
  }
  for (const name of ['issuer', 'subject', 'client'] as const) {
    // As long as the claims of a token may be: anything else would reach none.
    if (values[name] !== undefined && !/^.{1,1024}$/su.test(values[name])) {
      throw new UsageError(`--${name} must have 1 to 1024 characters.`);
    }
  }
  if (UNVERIFIED_TOKENS !== undefined) {
    throw new UsageError('With UNVERIFIED_TOKENS=1 no subject or client is known: only --token-stdin has an effect.');
  }
  return {
    issuer: readIssuer(
      values.issuer,
      ISSUERS?.map(({ issuer }) => issuer),
    ),
    subject,
    client,
  };
}

function readIssuer(given: string | undefined, known: readonly string[] | undefined): string {
  if (given === undefined) {
    const [only, ...others] = known ?? [];
    if (only !== undefined && others.length === 0) return only;
    throw new UsageError(
      known === undefined
        ? '--issuer is missing, and ISSUERS is not set.'
        : `--issuer is missing; ISSUERS has ${known.join(', ')}.`,
    );
  }
  // A cut-off at an issuer that no function knows would be acknowledged and reach nothing.
  if (known === undefined || known.includes(given)) return given;
  throw new UsageError(`--issuer is none of ISSUERS: ${known.join(', ')}.`);
}

/** What is known of a token. `matrix`: it is a homeserver's, and nobody was asked. */
type Known = Verification | { readonly status: 'matrix' };

/** What the functions that take the token look it up by: those of Matrix by its text alone. */
function identify(token: string, known: Known, peppers: readonly Pepper[]): IdentifiedToken {
  if (known.status !== 'matrix') return identifyToken(token, known, peppers);
  const { current, all } = textIds(token, peppers);
  return { presented: { tokenIds: all, grants: [], cutOffKeys: [] }, tokenIds: [current], grants: [] };
}

/** The token of standard input, and what is known of it at whatever time it was valid. */
async function readToken(
  { verify }: AuthorizePorts,
  isMatrix: boolean,
): Promise<{ token: string; verification: Known }> {
  const token = tokenOf(await readSecret('Token'));
  // An issuer must not be shown a homeserver's token.
  if (isMatrix) return { token, verification: { status: 'matrix' } };
  return { token, verification: await verify(token, { timeoutMs: TIMEOUT_MS, atAnyTime: true }) };
}

function tokenOf(text: string): string {
  const token = text === '' ? undefined : tokenField({ token: text });
  if (token !== undefined) return token;
  throw new UsageError('Standard input must hold one token, 1 to 8192 visible ASCII characters, without "Bearer".');
}

/** What is known of a token, for people. */
function knownRows(verification: Known): readonly (readonly [string, string | undefined])[] {
  if (verification.status !== 'verified') return [['verified', NOT_VERIFIED[verification.status](verification)]];
  const { issuer, subject, client, grant, issuedAt, expiresAt } = verification.token;
  const isOver = expiresAt !== undefined && expiresAt * 1000 <= Date.now();
  return [
    ['verified', 'yes'],
    ['issuer', issuer],
    ['subject', subject ?? 'not named'],
    ['client', client ?? 'not named'],
    ['grant', grant === undefined ? 'not named' : 'named'],
    ['issued at', issuedAt === undefined ? 'not said' : formatTime(issuedAt)],
    ['expires at', expiresAt === undefined ? 'not said' : `${formatTime(expiresAt)}${isOver ? ' (expired)' : ''}`],
  ];
}

const NOT_VERIFIED = {
  inactive: () => 'no, its issuer calls it inactive',
  refresh: () => 'no, it is a refresh token',
  refused: (verification: Known) =>
    `no${verification.status === 'refused' ? ` (${verification.reason})` : ''}; functions refuse it as it is`,
  unverified: () => 'no, ISSUERS is not set',
  matrix: () => 'no, a Matrix access token is known by its text alone',
} as const;

/** What is known of a token, for programs; the grant itself is nobody's to read. */
function knownFields(verification: Known): Record<string, unknown> {
  if (verification.status === 'refused') return { verification: 'refused', reason: verification.reason };
  if (verification.status !== 'verified') return { verification: verification.status };
  const { issuer, subject, client, grant, issuedAt, expiresAt } = verification.token;
  return {
    verification: 'verified',
    issuer,
    subject,
    client,
    grant: grant !== undefined,
    issued_at: issuedAt,
    expires_at: expiresAt,
  };
}
