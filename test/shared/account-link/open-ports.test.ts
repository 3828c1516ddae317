import { describe, expect, onTestFinished, test } from 'vitest';
import * as z from 'zod/mini';
import { LinkEnvironment, openLinkPorts } from '#shared/account-link/open-ports.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

const { ISSUERS, CLIENTS, GRANT_CLAIM } = ISSUER_SETTINGS;
const SETTINGS = {
  ...{ STORE_URL: 'memory:', ISSUERS, GRANT_CLAIM, ISSUER },
  TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'a').toString('base64')}`,
};

function open(more: object = {}) {
  const ports = openLinkPorts(z.object(LinkEnvironment).parse({ ...SETTINGS, ...more }), LOCAL_PLATFORM);
  onTestFinished(async () => void (await Promise.all([ports.directory.close(), ports.revocations.close()])));
  return ports;
}

describe('the ports', () => {
  test('are of the issuer that the settings name, which must be one of them', () => {
    const other = { issuer: 'https://other.example', audience: 'x', secret: 'obviously-fake-secret-of-another' };
    expect(open().issuer).toBe(ISSUER);
    expect(open({ ISSUERS: JSON.stringify([other, ...JSON.parse(ISSUERS)]) }).issuer).toBe(ISSUER);
    expect(() => open({ ISSUER: 'https://other.example' })).toThrow(
      expect.objectContaining({
        ...{ code: 'misconfigured', message: 'ISSUER must be one of those that ISSUERS names' },
      }),
    );
  });

  test('have the applications and the names of scopes that the settings have, or none and those of the API', () => {
    expect(open()).toMatchObject({ clients: [], scopeNames: { blitz_api_ufa: 'blitz_api_ufa' } });
    expect(open({ CLIENTS, SCOPE_NAMES: '{"blitz_api_ufa":"read"}' })).toMatchObject({
      ...{ clients: [{ id: 'skill' }, { id: 'other' }], scopeNames: { blitz_api_ufa: 'read' } },
    });
  });

  test('verify tokens, know what is revoked, and keep links', async () => {
    const { verify, revocations, directory, peppers } = open();

    expect(await verify(await issueToken(), { timeoutMs: 1000 })).toMatchObject({ status: 'verified' });
    expect(await revocations.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] })).toEqual({ revoked: false });
    expect(await directory.links.list('ann')).toEqual([]);
    expect(peppers.map(({ name }) => name)).toEqual(['k1']);
  });
});
