import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject, TEST_KEYS } from '#test/support/emulated-project.ts';
import { startForwarder } from '#test/support/forwarder.ts';
import { callWhoami, startLinkedProject, unlinkRaw } from '#test/support/linked-project.ts';
import { ISSUER_API, type IssuedTokens, type RealIssuer, startRealIssuer } from '#test/support/real-issuers.ts';
import { basic } from '#test/support/test-issuer.ts';

/** What a whole life takes of a server and of the functions that verify its tokens. */
interface Life {
  link(): Promise<IssuedTokens>;
  /** A refresh that the server gives unasked, as most servers do. */
  refresh(link: IssuedTokens): Promise<IssuedTokens>;
  /** Sets the server's clock, in seconds ahead of everybody else's: a cut-off compares whole seconds. */
  setClock(aheadS: number): Promise<void>;
  call(token: string): Promise<number>;
  /** Unlinks, and returns the log line of it. */
  unlink(token: string): Promise<Record<string, unknown>>;
}

/** Issue, call, refresh, unlink, refused, link anew, accepted. */
async function live(life: Life, expected: { reached: 'grant' | 'cut_off'; later: number }): Promise<void> {
  const { link, refresh, setClock, call, unlink } = life;
  await setClock(-10);
  const first = await link();
  expect(await call(first.accessToken)).toBe(200);
  const refreshed = await refresh(first);
  expect(await call(refreshed.accessToken)).toBe(200);

  expect(await unlink(refreshed.accessToken)).toMatchObject({ first: true, reached: [expected.reached] });

  expect(await call(refreshed.accessToken)).toBe(403);
  expect(await call(first.accessToken)).toBe(403);
  // Two, for the unlink may have come late in its second.
  await setClock(2);
  const later = await refresh(refreshed);
  expect(await call(later.accessToken)).toBe(expected.later);
  const again = await link();
  expect(await call(again.accessToken)).toBe(200);

  // Whoever replays the old token does not end the new link.
  expect(await unlink(refreshed.accessToken)).toMatchObject({ reached: [expected.reached] });
  expect(await call(again.accessToken)).toBe(200);
  const againRefreshed = await refresh(again);
  expect(await call(againRefreshed.accessToken)).toBe(200);
}

describe.each(['jwt', 'opaque'] as const)('oidc-provider, %s access tokens, which name the grant', (format) => {
  test('an unlink ends the link for good, later refreshes too, and a link made anew works', async () => {
    const linked = await startLinkedProject();
    onTestFinished(() => linked.close());
    await live(
      {
        link: () => linked.link('ann', format),
        async refresh({ refreshToken, accessToken }) {
          const refreshed = await linked.refresh({ refreshToken, accessToken });
          // It rotates none of a confidential client until most of its life has passed.
          return { refreshToken, accessToken: refreshed.accessToken };
        },
        setClock: (aheadS) => linked.order({ aheadS, asks: false }),
        call: linked.call,
        unlink: linked.unlink,
      },
      { reached: 'grant', later: 403 },
    );
  });
});

describe('@jmondi/oauth2-server, whose access tokens are JWTs without exception', () => {
  let issuer: RealIssuer;

  beforeAll(async () => {
    issuer = await startRealIssuer('jmondi');
  });

  afterAll(() => issuer.close());

  // Its hook for claims is given the id of the code, which names the authorization and is kept by refreshes.
  const grant = { claim: 'grant_id' };

  test('verified by its secret: an unlink ends the link for good, later refreshes too', async () => {
    const row = { issuer: issuer.issuer, audience: ISSUER_API, secret: issuer.signingSecret, grant };
    const { life } = await start(issuer, row);
    await live(life(), { reached: 'grant', later: 403 });
  });

  test('by its introspection, which calls the kind "access_token": the same, and its own refresh ends the token before', async () => {
    const { life } = await start(issuer, { ...introspected(issuer), audience: ISSUER_API, grant });
    await live(life(), { reached: 'grant', later: 403 });

    await issuer.setClock(0);
    const link = await issuer.link();
    const refreshed = await issuer.refresh(link);
    expect(await life().call(link.accessToken)).toBe(403);
    expect(await life().call(refreshed.accessToken)).toBe(200);
  });

  test('its refresh token, a JWT by the same key, is no access token; token-revoke revokes it, and nothing else: it names neither user nor grant', async () => {
    const row = { ...introspected(issuer), audience: ISSUER_API, secret: issuer.signingSecret, grant };
    const { life, project } = await start(issuer, row);
    await issuer.setClock(0);
    const link = await issuer.link();
    expect(await life().call(link.refreshToken)).toBe(403);

    // Its introspection knows a refresh token by the hint alone.
    expect(await revoke(project, issuer, link.refreshToken)).toMatchObject({ reached: ['access_token_only'] });
    const line = await revoke(project, issuer, link.refreshToken, 'refresh_token');

    expect(line).toMatchObject({ reached: ['refresh_token_only'] });
    expect(await life().call(link.accessToken)).toBe(200);
  });
});

describe('better-auth, whose tokens name no grant (its sid is the session of the browser)', () => {
  let issuer: RealIssuer;

  beforeAll(async () => {
    issuer = await startRealIssuer('better-auth');
  });

  afterAll(() => issuer.close());

  const jwtRow = () => ({ issuer: issuer.issuer, audience: ISSUER_API, jwks_uri: issuer.jwksUri });
  // Of an opaque token it says no audience; its refresh tokens have no azp.
  const opaqueRow = () => ({ ...introspected(issuer), require: ['azp'] });

  test.each([
    ['JWT', jwtRow, ISSUER_API],
    ['opaque', opaqueRow, undefined],
  ])(
    '%s: an unlink ends what was issued so far; what it issues later for the refresh token lives on',
    async (_, rowOf, resource) => {
      const { life } = await start(issuer, rowOf());
      await live(life(resource), { reached: 'cut_off', later: 200 });
    },
  );

  test('a route of its own ends the grant: its refresh token is dead at once, and after an outage', async () => {
    const { url = '', authorization } = issuer.ownApi ?? {};
    const between = await startForwarder(() => new URL(issuer.issuer).origin);
    const row = {
      issuer: issuer.issuer,
      preset: 'http',
      method: 'DELETE',
      authorization,
      success: [204],
      reaches: 'grant',
    };
    const { life, project } = await start(issuer, jwtRow(), {
      END_GRANT: JSON.stringify([{ ...row, url: url.replace(new URL(issuer.issuer).origin, between.url) }]),
      ENCRYPTION_KEYS: TEST_KEYS,
    });
    await issuer.setClock(-10);
    const link = await issuer.link(ISSUER_API);

    expect(await life().unlink(link.accessToken)).toMatchObject({ reached: ['cut_off', 'upstream_grant'] });
    await expect(issuer.refresh(link, ISSUER_API)).rejects.toThrow(/^the token endpoint answered 400 .*invalid_grant/);

    await issuer.setClock(2);
    const again = await issuer.link(ISSUER_API);
    between.isDown = true;
    expect(await life().unlink(again.accessToken)).toMatchObject({ upstream: 'pending: outgoing: unreachable' });
    const refreshed = await issuer.refresh(again, ISSUER_API);
    between.isDown = false;
    project.makeJobsDue();
    await project.tick();
    await expect(issuer.refresh(refreshed, ISSUER_API)).rejects.toThrow(/invalid_grant/);
  });

  test('with session_names_grant, which is wrong here, a link made anew in the same session is born dead', async () => {
    const row = { ...jwtRow(), grant: { claim: 'sid' }, session_names_grant: true };
    const { life } = await start(issuer, row);
    await issuer.setClock(-10);
    const { accessToken } = await issuer.link(ISSUER_API);
    expect(await life().unlink(accessToken)).toMatchObject({ reached: ['grant'] });

    await issuer.setClock(2);
    expect(await life().call((await issuer.link(ISSUER_API)).accessToken)).toBe(403);
  });

  test('its introspection calls an opaque refresh token active, in words of an access token: it is none, and token-revoke ends the link by it', async () => {
    const { life, project } = await start(issuer, opaqueRow());
    await issuer.setClock(-10);
    const link = await issuer.link();
    const { body } = await issuer.ask(issuer.introspectionEndpoint, link.refreshToken);
    expect(JSON.parse(body)).toMatchObject({ active: true, token_type: 'Bearer', sub: expect.any(String) });

    expect(await life().call(link.refreshToken)).toBe(403);
    const line = await revoke(project, issuer, link.refreshToken);
    expect(line).toMatchObject({ first: true, reached: ['cut_off'] });
    expect(await life().call(link.accessToken)).toBe(403);
  });

  test('its revocation refuses a JWT, and that of an opaque access token leaves the refresh token alive', async () => {
    await issuer.setClock(0);
    const byJwt = await issuer.link(ISSUER_API);
    const refusal = await issuer.ask(issuer.revocationEndpoint, byJwt.accessToken);
    expect(refusal.status).toBe(400);
    expect(JSON.parse(refusal.body)).toMatchObject({ error: 'unsupported_token_type' });

    const opaque = await issuer.link();
    expect((await issuer.ask(issuer.revocationEndpoint, opaque.accessToken)).status).toBe(200);
    const { accessToken } = await issuer.refresh(opaque);
    const { body } = await issuer.ask(issuer.introspectionEndpoint, accessToken);
    expect(JSON.parse(body)).toMatchObject({ active: true });
  });
});

/** The part of a row that has the server asked, as its one client. */
function introspected({ issuer, introspectionEndpoint, clientId, clientSecret }: RealIssuer) {
  return {
    issuer,
    introspection: { endpoint: introspectionEndpoint, client_id: clientId, client_secret: clientSecret },
  };
}

/** Starts the built functions with one row of ISSUERS. */
async function start(issuer: RealIssuer, row: Record<string, unknown>, more: Record<string, string> = {}) {
  const clients = [{ id: issuer.clientId, secret_sha256: REVOKER_SHA256 }];
  const project = await startProject({
    authUrl: issuer.issuer,
    local: { ISSUERS: JSON.stringify([row]), GRANT_CLAIM: null, CLIENTS: JSON.stringify(clients), ...more },
  });
  onTestFinished(() => project.close());
  const life = (resource?: string): Life => ({
    link: () => issuer.link(resource),
    refresh: (link) => issuer.refresh(link, resource),
    setClock: issuer.setClock,
    call: (token) => callWhoami(project, token),
    unlink: (token) => unlinkRaw(project, token),
  });
  return { life, project };
}

const REVOKER_SECRET = 'development-only';
/** Of {@link REVOKER_SECRET}. */
const REVOKER_SHA256 = '63a27210ee4a5cd1e16d2d15e77987af258c3650c485e9e425aad2a69c6f1eba';

/** The client revokes a token at the function; the log line of it. */
async function revoke(project: EmulatedProject, { clientId }: RealIssuer, token: string, hint?: string) {
  const headers = {
    Authorization: basic(clientId, REVOKER_SECRET),
    'Content-Type': 'application/x-www-form-urlencoded',
  };
  const fields = new URLSearchParams({ token, ...(hint !== undefined && { token_type_hint: hint }) });
  project.output.length = 0;
  const { status } = await project.gateway('POST', '/oauth/revoke', headers, fields.toString());
  expect(status).toBe(200);
  return project.takeLogLine();
}
