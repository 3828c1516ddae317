import type { Verification } from '#shared/access-token/verify.ts';
import type { Unlink } from '#shared/account-link/account-link.ts';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { createAccessPorts, NOW_S, SKILL, VERIFIED } from './access-ports.ts';

/** A client of the tests with the scopes of applications. */
export const SYSTEM_SCOPES = ['blitz_api_sys_ufa', 'blitz_api_sys_ufa_chg'];

/** What is known of a user's token with these scopes; of all that a user can have if not given. */
export const tokenOf = (subject: string, scopes = ['blitz_api_ufa', 'blitz_api_ufa_chg']): Verification => ({
  status: 'verified',
  token: { ...VERIFIED, subject, client: 'page', scopes, claims: { sub: subject } },
});

/** What is known of an application's own token. */
export const OWN_TOKEN: Verification = {
  status: 'verified',
  token: { ...VERIFIED, subject: undefined, isApplication: true, client: 'service', scopes: SYSTEM_SCOPES },
};

/** What the functions of account links work with, in memory; who calls is up to a test. */
export function createLinkPorts(verification: Verification = tokenOf('ann')) {
  const access = createAccessPorts(verification);
  const directory = openMemoryDirectory({ now: () => NOW_S * 1000 });
  const [skill] = access.ports.clients;
  const audited: [event: string, fields: Record<string, unknown>][] = [];
  const alerts: [message: string, fields: Record<string, unknown>][] = [];
  return {
    directory,
    noted: access.noted,
    audited,
    alerts,
    ports: {
      ...access.ports,
      directory,
      issuer: VERIFIED.issuer,
      clients: skill === undefined ? [] : [{ ...skill, scopes: SYSTEM_SCOPES }],
      scopeNames: {
        blitz_api_ufa: 'blitz_api_ufa',
        blitz_api_sys_ufa: 'blitz_api_sys_ufa',
        blitz_api_ufa_chg: 'blitz_api_ufa_chg',
        blitz_api_sys_ufa_chg: 'blitz_api_sys_ufa_chg',
      },
    },
    /** A call with what the path and the body hold, by the bearer of a token if no credential is given. */
    call: (parameters: object, fields: object = {}, authorization = 'Bearer abc') => ({
      ...access.call(authorization),
      allowsBasic: true,
      requestId: 'r-1',
      parameters: () => ({ ...parameters }),
      fields: () => ({ ...fields }),
      audit: (event: string, told: Record<string, unknown>) => void audited.push([event, told]),
      alert: (message: string, told: Record<string, unknown>) => void alerts.push([message, told]),
    }),
    /** Links an account, which has these tokens, sealed. */
    link: (subject: string, identity: Pick<Unlink, 'fpType' | 'fpName' | 'sid'>, tokens?: string) =>
      directory.links.link({
        ...identity,
        subject,
        tokens,
        evidence: 'proved',
        audit: { actor: 'operator', requestId: 'r-0' },
      }),
  };
}

/** The credential of the application `skill`, for {@link createLinkPorts}. */
export const APPLICATION = SKILL;
