/** The table of what ends at each server, row by row: against the code, the documented rows, and the doubles of the servers. */
import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';
import { AccessTokenEnvironment } from '#shared/access-token/issuers.ts';
import { reachOf, revocationOf } from '#shared/access-token/revocation-of.ts';
import { createAccessTokenVerifier } from '#shared/access-token/verify.ts';
import {
  type EndpointEnding,
  type GrantEnding,
  mayEndNewer,
  outcomeOfEndpoint,
} from '#shared/grant-revocation/end-grant.ts';
import { GRANT_PRESET_NAMES } from '#shared/grant-revocation/grant-presets.ts';
import type { JsonObject } from '#shared/json.ts';
import { send } from '#shared/outgoing/send.ts';
import { CORPUS_JWKS, corpusText, introspects } from '#test/support/corpus-issuer.ts';
import { endingOf } from '#test/support/ending-of.ts';
import { GRANT_SERVERS } from '#test/support/grant-servers/grant-servers.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { type CorpusCase, corpusAt } from '#test/support/token-corpus.ts';

const DOCUMENT = readFileSync('docs/authorization-server.md', 'utf8');
const NOW_S = 1_700_000_010;
const CASES = corpusAt(NOW_S);
const NONE = '–';

/** The sections of the servers, by name. The last one is of servers that have no section of their own. */
const SECTIONS = new Map(
  (DOCUMENT.split('\n## Server by server\n')[1] ?? '')
    .split('\n### ')
    .slice(1, -1)
    .map((section): [string, string] => [section.split('\n')[0] ?? '', section]),
);

/** The servers of the corpus; the tokens of the last section are opaque, and nobody can verify them. */
const CORPUS_NAMES: Readonly<Record<string, string>> = {
  'Ory Hydra': 'hydra',
  'Spring Authorization Server': 'spring',
  'oidc-provider': 'oidc_provider',
  'Duende IdentityServer, IdentityServer4': 'duende',
  'oxAuth, Janssen': 'gluu',
  'better-auth': 'better_auth',
  'Microsoft Entra ID': 'entra',
  'Amazon Cognito': 'cognito',
};
const UNVERIFIED = 'Google, Yandex, VK, Sber';

/** The section of a document that has the table, with its links as they are in the folder of the documents. */
function tableSection(path: string): string {
  const [, rest = ''] = readFileSync(path, 'utf8').split('\n## What ends at each server\n');
  return (rest.split('\n## ')[0] ?? '').replaceAll('](docs/smart-home.md#', '](#').replaceAll('](docs/', '](');
}

interface Row {
  readonly server: string;
  readonly link: string;
  readonly atOnce: string;
  readonly livesOn: string;
  readonly preset: string;
  readonly confirmed: string;
  readonly thenLivesOn: string;
  readonly newer: string;
}

const ROWS = [...tableSection('README.md').matchAll(/^\| \[.*$/gm)].map(([line]): Row => {
  const [first = '', atOnce = '', livesOn = '', preset = '', confirmed = '', thenLivesOn = '', newer = ''] = line
    .slice(2, -2)
    .split(' | ');
  const [, server = '', link = ''] = /^\[(.*)\]\((.*)\)$/.exec(first) ?? [];
  return { server, link, atOnce, livesOn, preset: preset.replaceAll('`', ''), confirmed, thenLivesOn, newer };
});
const TABLE = ROWS.map((row): [string, Row] => [row.server, row]);
const WITH_ENDING = TABLE.filter(([, { preset }]) => preset !== 'none');
const words = (cell: string): string[] => [...cell.matchAll(/`(upstream_\w+)`/g)].map(([, word = '']) => word);

/** An item of a section, without its line breaks. */
function itemOf(server: string, name: string): string {
  const [, text = ''] = new RegExp(`\\n- ${name}: (.*(?:\\n  .*)*)`).exec(SECTIONS.get(server) ?? '') ?? [];
  return text.replaceAll('\n ', '');
}

/** The documented row of `ISSUERS`; undefined: there is none. */
function issuerRowOf(server: string): JsonObject | undefined {
  const [, text] = /^```json\n(.*?)^```/ms.exec(SECTIONS.get(server) ?? '') ?? [];
  return text === undefined ? undefined : JSON.parse(text);
}

/** An access token as the row's server issues it: with the audience and the client that the row names. */
function tokenFor(one: CorpusCase, { issuer, audience, clients }: JsonObject): CorpusCase {
  const { claims } = one;
  const changed = {
    ...(claims.iss !== undefined && { iss: issuer }),
    ...(audience !== undefined && audience !== 'none' && { aud: audience }),
    ...(Array.isArray(clients) && { client_id: clients[0] }),
  };
  return { ...one, claims: { ...claims, ...changed } };
}

/** What an unlink with an access token of the server reaches, by the documented row of `ISSUERS`. */
async function reachAtOnce(server: string): Promise<readonly string[]> {
  const row = issuerRowOf(server);
  if (row === undefined) return reachOfToken('opaque', { UNVERIFIED_TOKENS: '1' });
  const corpusName = CORPUS_NAMES[server] ?? server.toLowerCase();
  const found = CASES.find(
    (one) => one.server === corpusName && one.wanted === 'user' && one.isIntrospected === (row.jwks_uri === undefined),
  );
  if (found === undefined) throw new Error(`the corpus has no access token of ${corpusName} for this row`);
  const { jwks_uri, introspection, ...rest } = row;
  const one = tokenFor(found, row);
  const text = await corpusText(one);
  const endpoint = await startHttpServer(introspects(new Map([[text, one.claims]])));
  const asked = introspection !== undefined && { introspection: { endpoint, client_id: 'us', client_secret: 's' } };
  const issuers = [{ ...rest, ...(jwks_uri !== undefined && { jwks: CORPUS_JWKS }), ...asked }];
  return reachOfToken(text, { ISSUERS: JSON.stringify(issuers) });
}

async function reachOfToken(text: string, { ISSUERS, UNVERIFIED_TOKENS }: Record<string, string>) {
  const settings = {
    ISSUERS: AccessTokenEnvironment.ISSUERS.parse(ISSUERS),
    UNVERIFIED_TOKENS: AccessTokenEnvironment.UNVERIFIED_TOKENS.parse(UNVERIFIED_TOKENS),
  };
  const verify = createAccessTokenVerifier(settings, { send, now: () => NOW_S * 1000 });
  const verification = await verify(text, { timeoutMs: 2000 });
  if (verification.status === 'refused') throw new Error(`the token is refused: ${verification.reason}`);
  const identified = identifyToken(text, verification, [{ name: 'k1', key: createSecretKey(Buffer.alloc(32, 'p')) }]);
  const revocation = revocationOf(identified, verification, {
    endsLink: identified.grants.length === 0,
    nowS: NOW_S,
    settings: { MAX_TOKEN_LIFETIME_S: 1000, INACTIVE_TOKEN_LIFETIME_S: 1000 },
  });
  return reachOf(revocation) ?? ['access_token_only'];
}

/** How the grant is ended: by the documented row, or for `http` by one with the placeholders that the section names. */
function endingFor({ server, preset }: Row): GrantEnding {
  const item = itemOf(server, 'END_GRANT');
  if (preset !== 'http') return endingOf(JSON.parse(/^`(\{.*?\})`\./.exec(item)?.[1] ?? '{}'));
  const [, named = ''] = /`http` with ((?:`\{\w+\}`(?: and )?)+)/.exec(item) ?? [];
  const placeholders = named.replaceAll('`', '').split(' and ').join('/');
  const { issuer } = issuerRowOf(server) ?? {};
  const url = `${issuer}/grants/${placeholders}`;
  return endingOf({ issuer, preset, method: 'DELETE', url, success: [204], reaches: 'grant' });
}

describe('the table of what ends at each server', () => {
  test('is the same in README.md and docs/smart-home.md, with all that is said above it', () => {
    expect(tableSection('docs/smart-home.md')).toBe(tableSection('README.md'));
    expect(tableSection('README.md')).toContain(
      'An access token that is refreshed between the unlink and a late confirmation lives until it expires',
    );
  });

  test('has a row for each server that has a section, in their order, and no other', () => {
    expect(ROWS.map(({ server }) => server)).toEqual([...SECTIONS.keys()]);
  });

  test('has each preset, and none that there is not', () => {
    const presets = new Set(ROWS.map(({ preset }) => preset));

    expect([...presets].sort()).toEqual([...GRANT_PRESET_NAMES, 'http', 'none', 'rfc7009'].sort());
  });

  test.each(TABLE)('links to the section of %s', (server, { link }) => {
    const anchor = server
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-');

    expect(link).toBe(`authorization-server.md#${anchor}`);
  });

  test.each(TABLE)('says of %s what the code ends at once', async (server, { atOnce }) => {
    expect(issuerRowOf(server) === undefined).toBe(server === UNVERIFIED);
    expect([atOnce]).toEqual((await reachAtOnce(server)).map((word) => `\`${word}\``));
  });

  test.each(TABLE)('says of %s what lives on without END_GRANT, for as long as its section says', (server, row) => {
    const [what, ...lifetime] = row.livesOn.split(': ');
    const others =
      { '`grant`': '', '`cut_off`': ' and new access tokens' }[row.atOnce] ?? ' and every other access token';

    expect(what).toBe(`refresh token${others}`);
    expect(lifetime).toHaveLength(1);
    expect(itemOf(server, 'Lives on')).toContain(`the refresh token (${lifetime})`);
  });

  test.each(WITH_ENDING)('names the preset of %s that its section has a row of', (_server, row) => {
    const { preset } = endingFor(row);

    expect(row.preset).toBe(preset);
    expect(row.thenLivesOn).toMatch(/^nothing\b/);
  });

  test.each(WITH_ENDING)('says of %s what a confirmation is worth', (_server, row) => {
    const ending = endingFor(row);
    const proved = doublesOf(row).map(({ reach }): string => reach);
    const computed = ending.preset === 'rfc7009' ? confirmedBy(ending) : `upstream_${ending.reaches}`;

    expect(words(row.confirmed).sort()).toEqual(proved.length > 0 ? [...new Set(proved)].sort() : [computed]);
    expect(words(row.confirmed)).toContain(computed);
  });

  test.each(WITH_ENDING)('says of %s what becomes of a newer link', (_server, row) => {
    const mayEnd = mayEndNewer(endingFor(row), row.atOnce === '`grant`' ? { grant: 'g1' } : {});
    const proved = doublesOf(row).map(({ keepsNewer, saysMayEndNewer = !keepsNewer }) => saysMayEndNewer);

    expect(row.newer).toBe(mayEnd ? 'may end too' : 'stays');
    expect(proved.filter((each) => each !== mayEnd)).toEqual([]);
  });

  const withPreset = WITH_ENDING.filter(([, { preset }]) => preset !== 'http' && preset !== 'rfc7009');

  test.each(withPreset)('has for %s what a double of it proves', (_server, row) => {
    expect(doublesOf(row)).not.toEqual([]);
  });

  const withoutEnding = TABLE.filter(([, { preset }]) => preset === 'none');

  test.each(withoutEnding)('says of %s nothing of a confirmation, and its section says why', (server, row) => {
    expect([row.confirmed, row.thenLivesOn, row.newer]).toEqual([NONE, NONE, NONE]);
    expect(itemOf(server, 'END_GRANT')).toMatch(/^none: .{20}/);
  });
});

/** The word for a 200 of a revocation endpoint to a token that was good. */
function confirmedBy(ending: EndpointEnding): string {
  const outcome = outcomeOfEndpoint(ending, { status: 'done', result: 'revoked' }, true);
  return outcome.status === 'done' ? outcome.result : outcome.error;
}

/** The doubles of the row's server whose tokens name a grant if, and only if, an unlink reaches the grant. */
function doublesOf({ preset, atOnce }: Row) {
  return GRANT_SERVERS.filter((kind) => kind.preset === preset && kind.namesGrant === (atOnce === '`grant`'));
}
