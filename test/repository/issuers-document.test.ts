import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { LABELS } from '#scripts/metrics/definitions.ts';
import { AccessTokenEnvironment, type Issuer } from '#shared/access-token/issuers.ts';
import { createAccessTokenVerifier } from '#shared/access-token/verify.ts';
import { EndGrantEnvironment } from '#shared/grant-revocation/end-grant.ts';
import { GRANT_PRESET_NAMES } from '#shared/grant-revocation/grant-presets.ts';
import { endingOf } from '#test/support/ending-of.ts';

const DOCUMENT = readFileSync('docs/authorization-server.md', 'utf8');
const SETTINGS = readFileSync('docs/smart-home.md', 'utf8');

/** Each member of a row. Another one, or one too few, is an error of types. */
const MEMBERS: Readonly<Record<keyof Issuer, true>> = {
  issuer: true,
  audience: true,
  clients: true,
  jwks_uri: true,
  jwks: true,
  secret: true,
  introspection: true,
  algorithms: true,
  subject_claim: true,
  client_claim: true,
  client_tokens: true,
  grant: true,
  grant_lifetime_s: true,
  session_names_grant: true,
  require: true,
  forbid: true,
  jti: true,
  prefix: true,
  token_type: true,
  id_tokens_too: true,
  iat_offset_s: true,
};

/** The text between a heading and the next heading of its level or above. */
function sectionOf(document: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0;
  const [, rest = ''] = document.split(`\n${heading}\n`);
  return rest.split(new RegExp(`\\n#{1,${level}} `))[0] ?? '';
}

/** The names in the first column of the tables of a section. */
function firstColumn(section: string): string[] {
  const cells = [...section.matchAll(/^\| (`[^|]*`) \|/gm)].map(([, cell]) => cell ?? '');
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''));
}

const sections = sectionOf(DOCUMENT, '## Server by server').split('\n### ').slice(1);
const servers = sections.map((section): [string, string] => [section.split('\n')[0] ?? '', section]);
const rowsOf = (text: string) => [...text.matchAll(/^```json\n(.*?)^```/gms)].map(([, row]) => row ?? '');

/** Makes the verifier of some rows, as a function does at its start. */
function startWith(rows: readonly string[]): void {
  const settings = z.object(AccessTokenEnvironment).parse({ ISSUERS: `[${rows.join()}]` });
  createAccessTokenVerifier(settings, { send: () => Promise.reject(new Error('nobody is asked')) });
}

describe('docs/authorization-server.md', () => {
  const withRow = servers.filter(([, section]) => rowsOf(section).length > 0);

  test.each(withRow)('has one row for %s, with which a function starts', (_name, section) => {
    const rows = rowsOf(section);

    expect(rows).toHaveLength(1);
    startWith(rows);
  });

  test('has rows that stand side by side', () => {
    startWith(withRow.flatMap(([, section]) => rowsOf(section)));
  });

  test('has a row for each server but those that nobody can verify', () => {
    expect(withRow.length).toBeGreaterThanOrEqual(20);
    expect(servers.filter((one) => !withRow.includes(one)).map(([name]) => name)).toEqual([
      'Google, Yandex, VK, Sber',
      'Others',
    ]);
    expect(sectionOf(DOCUMENT, '### Google, Yandex, VK, Sber')).toContain('UNVERIFIED_TOKENS=1');
  });

  test.each(servers.slice(0, -1))('says of %s what an unlink reaches, what lives on and who asks', (_name, section) => {
    for (const item of ['An unlink reaches', 'Lives on', 'Before a refresh'])
      expect(section).toContain(`\n- ${item}: `);
    expect(section).toMatch(/\n- Grant claim: |"grant": \{/);
  });

  test('has a row that is refused once a session is its grant', () => {
    const [fusionAuth = ''] = rowsOf(sectionOf(DOCUMENT, '### FusionAuth'));

    expect(() => startWith([fusionAuth.replace('"session_names_grant": true', '"token_type": "optional"')])).toThrow(
      'must name a grant',
    );
  });

  test('has each reason of the log with a meaning, and no other', () => {
    expect(firstColumn(sectionOf(DOCUMENT, '## Why a token is refused')).sort()).toEqual([...LABELS.reason].sort());
  });

  test('has rows of END_GRANT with which a function starts', () => {
    const [rows, ...others] = rowsOf(sectionOf(DOCUMENT, '## End the grant at the server'));

    expect(others).toEqual([]);
    expect(EndGrantEnvironment.END_GRANT.safeParse(rows)).toMatchObject({ success: true });
  });

  const endings = servers.flatMap(([name, section]) =>
    [...section.matchAll(/^- END_GRANT: `(\{.*?\})`[.:]/gms)].map(([, row = '']): [string, string] => [name, row]),
  );

  test.each(endings)('has a row of END_GRANT for %s with which a function starts', (_name, text) => {
    const row = JSON.parse(text);

    expect(endingOf(row)).toMatchObject({ preset: row.preset, issuer: row.issuer });
  });

  test('has a row of END_GRANT for each preset, by its own issuer', () => {
    const rows = endings.map(([, text]) => JSON.parse(text));

    const known = rows.map(({ preset }) => preset).filter((preset) => preset !== 'rfc7009');
    expect(known.sort()).toEqual([...GRANT_PRESET_NAMES].sort());
    for (const [index, [name]] of endings.entries()) {
      const [row = '{}'] = rowsOf(sectionOf(DOCUMENT, `### ${name}`));
      expect(rows[index].issuer).toBe(JSON.parse(row).issuer);
    }
  });

  test.each(servers)('says of %s how END_GRANT ends a grant, or why it cannot', (_name, section) => {
    expect(section).toMatch(/\n- END_GRANT: (`\{|none: |none of its own: )/);
  });

  test.each(Object.keys(MEMBERS))('names the member %s of a row', (member) => {
    expect(DOCUMENT).toMatch(new RegExp(`["\`]${member}["\`]`));
  });
});

test('docs/smart-home.md has each member of a row, and no other', () => {
  const section = sectionOf(SETTINGS, '### A row of `ISSUERS`');

  expect(firstColumn(section).sort()).toEqual(Object.keys(MEMBERS).sort());
});

test('no document tells a provider to name the grant by its session', () => {
  const [, row = ''] = /^\| `GRANT_CLAIM` \| (.*) \|$/m.exec(SETTINGS) ?? [];

  expect(row).toMatch(/^the claim that names the grant .*`grant_id`.*`sid` and `session_state` are refused at start/);
});
