import { renameSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { emailIds } from '#shared/account-link/email-digest.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import { type Received, TEST_KEYS, TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import {
  application,
  type LinkProject,
  providersAt,
  SCOPES,
  startLinkProject,
  system,
  user,
} from '#test/support/link-calls.ts';
import { issueToken } from '#test/support/test-issuer.ts';

const EMAIL = 'ssuser@gmail.com';
const NOBODY = { status: 200, body: { is_unlinked: false, is_permissions_revoked: false } };
const SHOP = 'https://shop.example';

let shop: LinkProject;
let subject = '';
let count = 0;

beforeAll(async () => {
  shop = await startLinkProject({ local: { SHOP_ORIGINS: `${SHOP}, https://other.shop.example` } });
});
afterAll(() => shop.close());
beforeEach(() => {
  count += 1;
  subject = `subject-${count}`;
});

/** An address that no other test has. */
const address = () => `ssuser-${count}@gmail.com`;

/** `Authorization` of a user whose token carries an address. */
async function shopper(claims: object = {}): Promise<string> {
  const scope = SCOPES.change;
  const own = { sub: subject, client_id: 'shop', scope, email: address(), email_verified: true };
  return `Bearer ${await issueToken({ ...own, ...claims })}`;
}

async function link(
  { project }: LinkProject,
  identity: { fpType: string; fpName: string; sid: string },
  { email, token, owner = subject }: { email?: string; token?: string; owner?: string } = {},
): Promise<void> {
  const directory = await openSqliteDirectory(project.database);
  const bound = boundToLink({ ...identity, subject: owner });
  await directory.links.link({
    ...{ ...identity, subject: owner, evidence: 'proved' },
    emailDigest: email === undefined ? undefined : emailIds(email, TokenPeppers.parse(TEST_PEPPERS))?.current,
    tokens:
      token === undefined ? undefined : sealTokens({ accessToken: token }, bound, EncryptionKeys.parse(TEST_KEYS)),
    audit: { actor: 'operator', requestId: 'import' },
  });
  await directory.close();
}

const vk = () => ({ fpType: 'vk', fpName: 'vk_1', sid: `vk-${count}` });
const tcs = () => ({ fpType: 'tcs', fpName: 'tcs_1', sid: `tcs-${count}` });

const unlink = (
  authorization: string | undefined,
  body: unknown,
  {
    project = shop.project,
    query = '',
    origin,
  }: { project?: LinkProject['project']; query?: string; origin?: string } = {},
) =>
  project.gateway(
    'POST',
    `/social/unlink${query}`,
    {
      'Content-Type': 'application/json',
      ...(authorization !== undefined && { Authorization: authorization }),
      ...(origin !== undefined && { Origin: origin }),
    },
    typeof body === 'string' ? body : JSON.stringify(body),
  );

const parsed = ({ status, body }: Received) => ({ status, body: JSON.parse(body) });
const sidsOf = async (owner = subject) =>
  ((await shop.links(await system(), owner)) as { sid: string }[]).map(({ sid }) => sid);

describe('whose e-mail', () => {
  test('the own one, verified, in any spelling of its canonical form: unlinked', async () => {
    await link(shop, vk(), { email: address() });
    const answer = await unlink(await shopper(), { email: address().toUpperCase() });
    expect(parsed(answer)).toEqual({ status: 200, body: { is_unlinked: true, is_permissions_revoked: false } });
    expect(await sidsOf()).toEqual([]);
    expect(parsed(await unlink(await shopper(), { email: address() }))).toEqual(NOBODY);
  });

  test.each<[string, object]>([
    ['not verified', { email_verified: false }],
    ['verified only in words', { email_verified: 'true' }],
    ['another one', { email: 'other@gmail.com' }],
    ['none', { email: undefined }],
    ['a list', { email: ['ssuser@gmail.com'] }],
  ])('of a token whose e-mail is %s: the answer of an unknown address, byte for byte', async (_name, claims) => {
    await link(shop, vk(), { email: address() });
    const answer = await unlink(await shopper(claims), { email: address() });
    const unknown = await unlink(await shopper(), { email: 'unknown@gmail.com' });
    expect(answer.body).toBe(unknown.body);
    expect(parsed(answer)).toEqual(NOBODY);
    expect(await sidsOf()).toEqual([vk().sid]);
  });

  test("another user's link with the same address stays", async () => {
    await link(shop, vk(), { email: address(), owner: 'somebody-else' });
    expect(parsed(await unlink(await shopper(), { email: address() }))).toEqual(NOBODY);
    expect(await sidsOf('somebody-else')).toContain(vk().sid);
  });

  test('an application with the scope: of whomever has it', async () => {
    for (const authorization of [await system(), application()]) {
      count += 1;
      await link(shop, vk(), { email: address(), owner: `owner-${count}` });
      expect(parsed(await unlink(authorization, { email: address() }))).toMatchObject({
        body: { is_unlinked: true },
      });
      expect(await sidsOf(`owner-${count}`)).toEqual([]);
    }
  });

  test('without a token 401, without the scope 403', async () => {
    const failure = { error: true, reason: 'Error while Unlinking Social Login User' };
    expect(parsed(await unlink(undefined, { email: EMAIL }))).toEqual({ status: 401, body: failure });
    expect(parsed(await unlink('Bearer x', { email: EMAIL }))).toEqual({ status: 401, body: failure });
    expect(parsed(await unlink(await user(subject, SCOPES.read), { email: EMAIL }))).toEqual({
      status: 403,
      body: failure,
    });
    expect((await unlink(application('reader'), { email: EMAIL })).status).toBe(403);
  });
});

describe('which link', () => {
  test('the one that was linked last; of a network that is given, or that the token names', async () => {
    for (const identity of [vk(), tcs()]) await link(shop, identity, { email: address() });
    expect(parsed(await unlink(await shopper(), { email: address(), network: 'google' }))).toEqual(NOBODY);
    expect(parsed(await unlink(await shopper(), { email: address(), network: 'vk' }))).toMatchObject({
      body: { is_unlinked: true },
    });
    expect(await sidsOf()).toEqual([tcs().sid]);

    await link(shop, vk(), { email: address() });
    await unlink(await shopper({ network: 'tcs:tcs_1' }), { email: address() });
    expect(await sidsOf()).toEqual([vk().sid]);

    await link(shop, tcs(), { email: address() });
    await unlink(await shopper(), { email: address() });
    expect(await sidsOf()).toEqual([vk().sid]);
  });

  test("a link without an address is the user's own, one with another address is left alone", async () => {
    await link(shop, vk());
    await link(shop, tcs(), { email: 'other@gmail.com' });
    expect(parsed(await unlink(await shopper(), { email: address() }))).toMatchObject({ body: { is_unlinked: true } });
    expect(await sidsOf()).toEqual([tcs().sid]);
  });
});

describe('what is answered', () => {
  test.each<[string, unknown]>([
    ['no e-mail', {}],
    ['an empty one', { email: '' }],
    ['a number', { email: 7 }],
    ['a list', { email: [EMAIL] }],
    ['no address', { email: 'ssuser' }],
    ['two @', { email: 'a@b@c' }],
    ['a line break', { email: 'a@b.example\n' }],
    ['a lone surrogate', { email: '\ud800@b.example' }],
    ['a network that is no text', { email: EMAIL, network: 7 }],
    ['no JSON', '{'],
    ['a list as body', '[]'],
  ])('%s is 400 "Email address missing"', async (_name, body) => {
    expect(parsed(await unlink(await shopper(), body))).toEqual({
      status: 400,
      body: { error: true, reason: 'Email address missing' },
    });
  });

  test('permissions are revoked when the provider says so, and only then; view=full tells more', async () => {
    let status = 200;
    const url = await startHttpServer((_request, answer) => answer.writeHead(status).end());
    const own = await startLinkProject({ local: { PROVIDERS: providersAt(url) } });
    onTestFinished(() => own.close());
    const identity = { fpType: 'oidc', fpName: 'dev_1', sid: '1' };
    const once = async (query = '') => {
      await link(own, identity, { email: address(), token: 'access' });
      return parsed(await unlink(await shopper(), { email: address() }, { project: own.project, query }));
    };
    expect(await once()).toEqual({ status: 200, body: { is_unlinked: true, is_permissions_revoked: true } });
    status = 503;
    expect(await once()).toEqual({ status: 200, body: { is_unlinked: true, is_permissions_revoked: false } });
    status = 404;
    expect(await once('?view=full')).toEqual({
      status: 200,
      body: {
        ...{ is_unlinked: true, is_permissions_revoked: false },
        ...{ revocation: 'failed', manageUrl: 'https://provider.example/apps' },
      },
    });
    expect(own.project.output.join('\n')).toContain('an outbox job is given up');
  });

  test('a protected last link is 409, a store that is away 503, and thrown in raw', async () => {
    const own = await startLinkProject({ timeout: 2, local: { PROTECT_LAST_LINK: 'true' } });
    onTestFinished(() => own.close());
    await link(own, vk(), { email: address() });
    const failure = { error: true, reason: 'Error while Unlinking Social Login User' };
    const call = async () => parsed(await unlink(await shopper(), { email: address() }, { project: own.project }));
    expect(await call()).toEqual({ status: 409, body: failure });
    renameSync(own.project.database, `${own.project.database}.away`);
    expect(await call()).toEqual({ status: 503, body: failure });
    const raw = await own.project.raw('social-unlink', {
      headers: { request_id: 'r', authorization: await shopper() },
      request_type: 'social.unlink',
      api_version: 1,
      payload: { email: address() },
    });
    expect(raw.status).toBe(502);
  });

  test('a query that names a parameter twice is refused before anything is unlinked', async () => {
    await link(shop, vk(), { email: address() });
    const twice = await unlink(await shopper(), { email: address() }, { query: '?view=full&view=full' });
    expect(twice.status).toBe(400);
    expect(await sidsOf()).toEqual([vk().sid]);
  });

  test('raw: the same in the envelope', async () => {
    await link(shop, vk(), { email: address() });
    const call = async (payload: object) =>
      parsed(
        await shop.project.raw('social-unlink', {
          headers: { request_id: 'r', authorization: await shopper() },
          request_type: 'social.unlink',
          api_version: 1,
          payload,
        }),
      ).body;
    expect(await call({})).toEqual({
      ...{ request_id: 'r', status: 400 },
      payload: { error: true, reason: 'Email address missing' },
    });
    expect(await call({ email: address() })).toEqual({
      ...{ request_id: 'r', status: 200 },
      payload: { is_unlinked: true, is_permissions_revoked: false },
    });
  });

  test('no address is in the log or in the store', async () => {
    await link(shop, vk(), { email: address() });
    shop.project.output.length = 0;
    await unlink(await shopper(), { email: address() });
    await unlink(await shopper({ email: 'other@gmail.com' }), { email: address() });
    expect(shop.project.output.join('\n')).not.toContain('gmail');
  });
});

describe('pages of shops', () => {
  test.each([SHOP, 'https://other.shop.example'])('%s may read every answer', async (origin) => {
    for (const answer of [
      await unlink(await shopper(), { email: EMAIL }, { origin }),
      await unlink(undefined, { email: EMAIL }, { origin }),
      await unlink(await shopper(), {}, { origin }),
    ]) {
      expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
      expect(answer.headers.get('vary')).toBe('Origin');
      expect(answer.headers.has('access-control-allow-credentials')).toBe(false);
    }
    const preflight = await shop.project.gateway('OPTIONS', '/social/unlink', {
      Origin: origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('POST');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('Authorization');
  });

  test.each(['https://evil.example', 'https://shop.example.evil.example', 'null', 'http://shop.example'])(
    '%s may not',
    async (origin) => {
      const answer = await unlink(await shopper(), { email: EMAIL }, { origin });
      expect(answer.headers.has('access-control-allow-origin')).toBe(false);
    },
  );
});
