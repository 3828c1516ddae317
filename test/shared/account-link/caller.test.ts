import { describe, expect, test } from 'vitest';
import {
  CallerEnvironment,
  identifyCaller,
  mayChange,
  permittedSubject,
  subjectRef,
} from '#shared/account-link/caller.ts';
import { cutOffKeys } from '#shared/token-revocation/token-id.ts';
import { VERIFIED } from '#test/support/access-ports.ts';
import { APPLICATION, createLinkPorts, OWN_TOKEN, SYSTEM_SCOPES, tokenOf } from '#test/support/link-ports.ts';

const ALL_NAMES = {
  ...{ blitz_api_ufa: 'blitz_api_ufa', blitz_api_sys_ufa: 'blitz_api_sys_ufa' },
  ...{ blitz_api_ufa_chg: 'blitz_api_ufa_chg', blitz_api_sys_ufa_chg: 'blitz_api_sys_ufa_chg' },
};

describe('the settings', () => {
  const { ISSUER, SCOPE_NAMES } = CallerEnvironment;
  const RULE = 'must be JSON: {"blitz_api_ufa": "the name that stands for it", …}, each name once';

  test('name each scope as the API does where nothing else is said', () => {
    expect(SCOPE_NAMES.parse(undefined)).toEqual(ALL_NAMES);
  });

  test.each(Object.keys(ALL_NAMES))('may name %s otherwise', (scope) => {
    expect(SCOPE_NAMES.parse(JSON.stringify({ [scope]: '!#[]~' }))).toEqual({ ...ALL_NAMES, [scope]: '!#[]~' });
  });

  test.each(['', 'a b', 'a"b', 'a\\b', 'a\n', ' a', 'ключ', 'x'.repeat(256), 7])('cannot name a scope %j', (name) => {
    expect(SCOPE_NAMES.safeParse(JSON.stringify({ blitz_api_ufa: name })).error?.issues).toMatchObject([
      { message: RULE },
    ]);
  });

  test.each([
    ['of two that are named', { blitz_api_ufa: 'links', blitz_api_sys_ufa: 'links' }],
    ['that another has by itself', { blitz_api_ufa: 'blitz_api_sys_ufa' }],
  ])('cannot give one name to two scopes: one %s', (_title, names) => {
    expect(SCOPE_NAMES.safeParse(JSON.stringify(names)).error?.issues).toMatchObject([{ message: RULE }]);
  });

  test('may exchange the names of two scopes', () => {
    const names = { blitz_api_ufa: 'blitz_api_sys_ufa', blitz_api_sys_ufa: 'blitz_api_ufa' };

    expect(SCOPE_NAMES.parse(JSON.stringify(names))).toEqual({ ...ALL_NAMES, ...names });
  });

  test('cannot name another scope', () => {
    expect(SCOPE_NAMES.safeParse('{"other":"x"}').success).toBe(false);
  });

  test('must name the issuer', () => {
    expect(ISSUER.safeParse(undefined).error?.issues).toMatchObject([
      { message: 'must be set: the issuer of ISSUERS whose subjects have links' },
    ]);
  });
});

describe('who calls', () => {
  test('is a user, by the subject of their token', async () => {
    const { ports, call, noted } = createLinkPorts(tokenOf('ann', ['a', 'b']));

    expect(await identifyCaller(call({}), ports)).toEqual({
      ...{ subject: 'ann', client: 'page', actor: 'subject:ann', scopes: ['a', 'b'], claims: { sub: 'ann' } },
    });
    expect(noted).toMatchObject({ client_id: 'page' });
  });

  test('is a user whose token names no client', async () => {
    const verification = { status: 'verified', token: { ...VERIFIED, client: undefined } } as const;
    const { ports, call, noted } = createLinkPorts(verification);

    expect(await identifyCaller(call({}), ports)).toMatchObject({ subject: 'user-1', client: undefined });
    expect(noted).not.toHaveProperty('client_id');
  });

  test('is an application, by a token of its own that the settings declare', async () => {
    const { ports, call } = createLinkPorts(OWN_TOKEN);

    expect(await identifyCaller(call({}), ports)).toEqual({
      ...{ subject: undefined, client: 'service', actor: 'client:service', scopes: SYSTEM_SCOPES },
      claims: VERIFIED.claims,
    });
  });

  test.each([
    ['whatever its scopes', { client: 'service', scopes: SYSTEM_SCOPES }],
    ['and that names no client either', { client: undefined }],
  ])('is nobody by a token that names no user, %s', async (_title, more) => {
    const token = { ...VERIFIED, ...more, subject: undefined };
    const { ports, call, noted } = createLinkPorts({ status: 'verified', token });

    await expect(identifyCaller(call({}), ports)).rejects.toMatchObject({
      ...{ code: 'invalid_token', message: 'The token names no user.' },
    });
    expect(noted).toMatchObject({ reason: 'no_user' });
  });

  test('is an application, by HTTP Basic in any case', async () => {
    const { ports, call, noted } = createLinkPorts();
    const request = call({}, {}, APPLICATION.replace('Basic', 'bASIC'));

    expect(await identifyCaller(request, ports)).toEqual({
      ...{ subject: undefined, client: 'skill', actor: 'client:skill', scopes: SYSTEM_SCOPES, claims: {} },
    });
    expect(noted).toEqual({ client_id: 'skill' });
  });

  test.each([
    ['by HTTP Basic where that is not allowed', APPLICATION, false],
    ['by what has "basic " within', `x${APPLICATION}`, true],
    ['without a credential', undefined, true],
  ])('is not known %s', async (_title, authorization, allowsBasic) => {
    const { ports, call } = createLinkPorts();

    await expect(identifyCaller({ ...call({}), authorization, allowsBasic }, ports)).rejects.toMatchObject({
      code: 'invalid_token',
    });
  });

  test.each<[string, Parameters<typeof createLinkPorts>[0]]>([
    ['was refused', { status: 'refused', reason: 'expired' }],
    ['nobody can verify', { status: 'unverified' }],
    ['is of another issuer', { status: 'verified', token: { ...VERIFIED, issuer: 'https://other.example' } }],
  ])('is not known by a token that %s', async (_title, verification) => {
    const { ports, call } = createLinkPorts(verification);

    await expect(identifyCaller(call({}), ports)).rejects.toMatchObject({
      ...{ code: 'invalid_token', message: 'The token is not valid here, or it is revoked.' },
    });
  });
});

describe('a caller', () => {
  const { ports } = createLinkPorts();
  const user = (...scopes: string[]) => ({ subject: 'ann', client: 'page', actor: 'subject:ann', scopes, claims: {} });
  const application = (...scopes: string[]) => ({ ...user(...scopes), subject: undefined, actor: 'client:page' });
  const noted: object[] = [];
  const permitted = (caller: ReturnType<typeof user | typeof application>, permission: 'read' | 'change', id: string) =>
    permittedSubject(caller, permission, id, { note: (fields) => void noted.push(fields) }, ports);

  test.each([
    ['read', 'blitz_api_ufa'],
    ['change', 'blitz_api_ufa_chg'],
  ] as const)('may %s their own links with %s', (permission, scope) => {
    expect(permitted(user(scope), permission, 'current')).toBe('ann');
    expect(permitted(user(scope), permission, 'ann')).toBe('ann');
    expect(noted).toEqual([]);
  });

  test.each([
    ['read', 'blitz_api_sys_ufa'],
    ['change', 'blitz_api_sys_ufa_chg'],
  ] as const)("that is an application may %s anybody's links with %s", (permission, scope) => {
    expect(permitted(application(scope), permission, 'bob')).toBe('bob');
    const { current } = cutOffKeys({ issuer: ports.issuer, subject: 'bob' }, ports.peppers);
    expect(noted.splice(0)).toEqual([{ subject_ref: current }]);
    expect(subjectRef('bob', ports)).toBe(current);
  });

  test.each([
    ["another's links", user('blitz_api_ufa'), 'read', 'bob'],
    ['their links by the leave to change', user('blitz_api_ufa_chg'), 'read', 'ann'],
    ['their links by the leave of applications', user('blitz_api_sys_ufa'), 'read', 'ann'],
    ['their links without a scope', user(), 'read', 'current'],
    ['their links to change, by the leave to read', user('blitz_api_ufa'), 'change', 'ann'],
    ['of an application the current subject, for it has none', application('blitz_api_sys_ufa'), 'read', 'current'],
    ['as an application by the leave of users', application('blitz_api_ufa'), 'read', 'ann'],
    ['as an application to change, by the leave to read', application('blitz_api_sys_ufa'), 'change', 'ann'],
  ] as const)('may not see %s', (_title, caller, permission, id) => {
    expect(() => permitted(caller, permission, id)).toThrow(
      expect.objectContaining({
        ...{ code: 'insufficient_scope', message: 'The credential does not allow this for this subject.' },
      }),
    );
  });

  test('may change links at all by the scope of its kind', () => {
    expect(mayChange(user('blitz_api_ufa_chg'), ports)).toBe(true);
    expect(mayChange(user('blitz_api_sys_ufa_chg', 'blitz_api_ufa'), ports)).toBe(false);
    expect(mayChange(application('blitz_api_sys_ufa_chg'), ports)).toBe(true);
    expect(mayChange(application('blitz_api_ufa_chg', 'blitz_api_sys_ufa'), ports)).toBe(false);
  });
});
