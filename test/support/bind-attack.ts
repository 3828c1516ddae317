import { DatabaseSync } from 'node:sqlite';
import { expect } from 'vitest';
import { type BindProject, CALLBACK, locationOf, pageOf } from './bind-project.ts';
import type { Received } from './emulated-project.ts';

/** Settings under which nothing stands between the provider's answer and the link. */
export const NONE = { local: { BIND_CONFIRMATION: 'none' } };
/** Settings under which the user's own credential confirms. */
export const BEARER = { local: { BIND_CONFIRMATION: 'bearer' } };

/** Persons at our issuer, and one at the provider. */
export const ANN = { sub: 'ann', name: 'Ann' };
export const EVE = { sub: 'eve', name: 'Eve' };
export const AT_PROVIDER = { sub: 'remote-1', name: 'Ann Remote' };

/** The state of an authorization request. */
export const stateOf = (url: string) => new URL(url).searchParams.get('state') ?? '';

/** What a callback is sent where a step is not what it says: an answer of a provider that never was. */
export const answerWith = (state: string, issuer: string) => new URLSearchParams({ code: 'c', state, iss: issuer });

/** Starts a bind of `ann` and returns what her browser brings back from the provider. */
export async function answered(bind: BindProject, more?: object): Promise<URLSearchParams> {
  return bind.provider.answer(await bind.redirectTo('ann', more), AT_PROVIDER);
}

/** Starts a bind that names no subject, and returns where the browser is sent. */
export async function redirectOfNobody(bind: BindProject, more?: object): Promise<string> {
  const started = await bind.start(bind.application('plain'), { fp: 'oidc:mock_1', callback: CALLBACK, ...more });
  return JSON.parse(started.body).redirectTo;
}

/** Where a browser is sent once more, and the cookie that it is given with that. */
export function secondTripOf(answer: Received): { url: string; cookie: string } {
  return { url: locationOf(answer).href, cookie: answer.headers.get('set-cookie')?.split(';')[0] ?? '' };
}

/** Makes the first trip of a bind that names no subject, in a browser of whomever. */
export async function toSecondTrip(bind: BindProject, more?: object): Promise<{ url: string; cookie: string }> {
  const given = bind.provider.answer(await redirectOfNobody(bind, more), AT_PROVIDER);
  return secondTripOf(await bind.callback(given));
}

/** Goes on to the sign-in and returns where the browser is sent. */
export async function toSignIn(bind: BindProject, more?: object): Promise<string> {
  return locationOf(await bind.callback(await answered(bind, more))).href;
}

/** Goes on to our page, and returns its form's token and its cookie. */
export async function toPage(bind: BindProject, person = ANN): Promise<{ token: string; cookie: string }> {
  return pageOf(await bind.signIn(bind.issuer.answer(await toSignIn(bind), person)));
}

/** Goes on to the application, which is given a ticket. */
export async function toTicket(bind: BindProject): Promise<string> {
  return locationOf(await bind.callback(await answered(bind))).searchParams.get('ticket') ?? '';
}

/** Runs a statement on the store of the functions and returns its rows. */
export function query({ project }: BindProject, statement: string): Record<string, unknown>[] {
  const connection = new DatabaseSync(project.database);
  const rows = connection.prepare(statement).all();
  connection.close();
  return rows;
}

/** How many links and how many steps are kept, of whomever. */
export function countKept(bind: BindProject): { links: number; steps: number } {
  const count = (table: string) => Number(query(bind, `SELECT count(*) AS n FROM ${table}`)[0]?.n);
  return { links: count('account_link'), steps: count('bind_transaction') };
}

/** The lines that were logged, parsed: those of the audit log, or the others. */
export function logged({ project }: BindProject, kind: 'audit' | 'call'): Record<string, unknown>[] {
  return project.output
    .filter((line) => line.startsWith('{'))
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ stream_name }) => (stream_name === 'audit') === (kind === 'audit'));
}

/** The application's callback with this error, and nothing else but what was registered. */
export const sentBack = (error: string, fp = 'oidc:mock_1') =>
  `${CALLBACK}&fa_status=error&fp=${encodeURIComponent(fp)}&error=${error}`;

const FIXED_TEXT = /This page (cannot continue|works only once|has expired)/;

/**
 * The answer is one of those that a refused bind ends with: the callback with a code of the closed list, our fixed
 * page, or the error of a confirmation. There is a line in the audit log, no link more than `links`, and nothing that looks like a secret in any log
 * line.
 */
export function expectRefused(
  bind: BindProject,
  answer: Received,
  error: string,
  { links = 0, fp }: { links?: number; fp?: string } = {},
): void {
  if (answer.status === 303) expect(locationOf(answer).href).toBe(sentBack(error, fp));
  else if (answer.headers.get('content-type')?.startsWith('text/html')) {
    expect(answer.status).toBe(400);
    expect(answer.body).toMatch(FIXED_TEXT);
  } else expect([400, 403]).toContain(answer.status);
  expect(answer.headers.get('set-cookie')).toBeNull();
  expect(logged(bind, 'audit').at(-1)).toMatchObject({ event: 'account_link.bind_failed', error });
  expect(countKept(bind).links).toBe(links);
  expectNoSecretLogged(bind);
}

/** A digest under a key of ours, which says which credential was used. */
const KEYED_DIGEST = /"k1\.[\w-]{43}"/g;

/** Of the call's trace: of it by name, and never a secret. */
const TRACE_ID = /"trace_id":"[0-9a-f]{32}"/;

/** No log line has what is as long as our secrets, a provider's code in these tests, or the id of the account. */
export function expectNoSecretLogged(bind: BindProject): void {
  for (const line of bind.project.output) {
    expect(line.replace(KEYED_DIGEST, '').replace(TRACE_ID, '')).not.toMatch(/[A-Za-z0-9_-]{43}|[0-9a-f]{32}/);
  }
  expect(JSON.stringify(logged(bind, 'call'))).not.toContain(AT_PROVIDER.sub);
}
