import { renameSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { ExternalIdentity } from '#shared/account-link/account-link.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { type Received, TEST_KEYS } from '#test/support/emulated-project.ts';
import { application, type LinkProject, SCOPES, startLinkProject, system, user } from '#test/support/link-calls.ts';
import { basic, issueToken } from '#test/support/test-issuer.ts';

let blitz: LinkProject;
let subject = '';
let count = 0;

beforeAll(async () => {
  blitz = await startLinkProject();
});
afterAll(() => blitz.close());
beforeEach(() => {
  count += 1;
  subject = `subject-${count}`;
});

const parsed = ({ status, body }: Received) => ({ status, body: body === '' ? undefined : JSON.parse(body) });
const errorOf = ({ status, body }: Received) => ({ status, error: JSON.parse(body).error });
/** An identity that no other test has. */
const sid = (name: string) => `${name}-${count}`;

describe('the documented calls', () => {
  test('list, link, list, delete, list', async () => {
    const ann = await user(subject);
    const empty = await blitz.list(ann, subject);
    expect(parsed(empty)).toEqual({ status: 200, body: [] });
    expect(empty.headers.get('cache-control')).toBe('private, no-cache');
    expect(empty.headers.get('content-type')).toBe('application/json');

    const linked = await blitz.link(ann, subject, `esia/esia_1/${sid('1000347601')}`);
    expect(linked).toMatchObject({ status: 400 }); // this deployment has no esia_1
    const first = await blitz.link(ann, subject, `vk/vk_1/${sid('1000347601')}`);
    expect(first).toMatchObject({ status: 204, body: '' });
    expect(first.headers.get('content-type')).toBeNull();
    expect(await blitz.link(ann, subject, `tcs/tcs_1/${sid('1234')}`, 'Elle Woods')).toMatchObject({ status: 204 });
    expect(await blitz.links(ann, subject)).toEqual([
      { sid: sid('1000347601'), fpType: 'vk', fpName: 'vk_1' },
      { sid: sid('1234'), fpType: 'tcs', fpName: 'tcs_1', userName: 'Elle Woods' },
    ]);

    const deleted = await blitz.unlink(ann, subject, `tcs/tcs_1/${sid('1234')}`);
    expect(deleted).toMatchObject({ status: 204, body: '' });
    expect(deleted.headers.get('content-type')).toBeNull();
    expect(await blitz.links(ann, subject)).toMatchObject([{ fpName: 'vk_1' }]);
  });

  test('current is the subject of the token', async () => {
    const ann = await user(subject);
    expect(await blitz.link(ann, 'current', `vk/vk_1/${sid('1')}`)).toMatchObject({ status: 204 });
    expect(await blitz.links(ann, 'current')).toEqual([{ sid: sid('1'), fpType: 'vk', fpName: 'vk_1' }]);
    expect(await blitz.links(ann, subject)).toHaveLength(1);
    expect(await blitz.unlink(ann, 'current', `vk/vk_1/${sid('1')}`)).toMatchObject({ status: 204 });
  });

  test('version 2 does the same, over the gateway and with HTTP Basic', async () => {
    const admin = application();
    const headers = { Authorization: admin };
    const path = `/blitz/api/v2/users/${subject}/fa`;
    expect(await blitz.project.gateway('POST', `${path}/vk/vk_1/${sid('1')}`, headers)).toMatchObject({ status: 204 });
    expect(parsed(await blitz.list(admin, subject, 'v2'))).toMatchObject({ status: 200, body: [{ sid: sid('1') }] });
    expect(await blitz.project.gateway('DELETE', `${path}/vk/vk_1/${sid('1')}`, headers)).toMatchObject({
      status: 204,
    });
    expect(errorOf(await blitz.list(admin, subject, 'v3'))).toEqual({ status: 401, error: 'invalid_token' });
  });

  test("the Authorization header of the document's example, without base64 padding, is read", async () => {
    const documented = 'Basic ZG5ldm5pay10ZXN0Lm1vcy5ydTphUU56S0JuY2VBQVQwelg';
    expect(parsed(await blitz.list(documented, subject, 'v2'))).toEqual({ status: 200, body: [] });
    expect(parsed(await blitz.list(`${documented}=`, subject, 'v2'))).toEqual({ status: 200, body: [] });
  });

  test("a request's Cache-Control is no trouble", async () => {
    const headers = { Authorization: await user(subject), 'Cache-Control': 'no-cache' };
    expect(await blitz.project.gateway('GET', `/blitz/api/v3/users/${subject}/fa`, headers)).toMatchObject({
      status: 200,
      body: '[]',
    });
  });

  test('raw calls answer what the native protocol would, in the envelope', async () => {
    const admin = application();
    const identity = { subjectId: subject, fpType: 'vk', fpName: 'vk_1', sid: sid('1') };
    const linked = await blitz.raw('link', admin, { ...identity, federatedAccountName: 'Олег' });
    expect(parsed(linked)).toEqual({ status: 200, body: { request_id: 'r-1', status: 204 } });
    expect(parsed(await blitz.raw('list', admin, { subjectId: subject }))).toEqual({
      status: 200,
      body: {
        request_id: 'r-1',
        status: 200,
        payload: [{ sid: sid('1'), fpType: 'vk', fpName: 'vk_1', userName: 'Олег' }],
      },
    });
    expect(parsed(await blitz.raw('delete', await user(subject), { ...identity, view: 'full' }))).toEqual({
      status: 200,
      body: {
        request_id: 'r-1',
        status: 200,
        payload: { revocation: 'unsupported', manageUrl: 'https://vk.example/apps' },
      },
    });
    expect(parsed(await blitz.raw('list', admin, { subjectId: 7 }))).toMatchObject({
      body: { status: 400, payload: { type: 'input_error', error: 'wrong_values' } },
    });
    expect(parsed(await blitz.raw('list', undefined, { subjectId: subject }))).toMatchObject({
      body: { status: 401, payload: { type: 'security_error', error: 'invalid_token' } },
    });
  });

  test('linking again is 204, and the name is the last that was given', async () => {
    const ann = await user(subject);
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`, 'Ann');
    expect(await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`)).toMatchObject({ status: 204 });
    expect(await blitz.links(ann, subject)).toMatchObject([{ userName: 'Ann' }]);
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`, 'Anna');
    expect(await blitz.links(ann, subject)).toMatchObject([{ userName: 'Anna' }]);
  });

  test('deleting again is 204, for the same subject and identity alone; else 404', async () => {
    const ann = await user(subject);
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`);
    expect(await blitz.unlink(ann, subject, `vk/vk_1/${sid('1')}`)).toMatchObject({ status: 204 });
    expect(await blitz.unlink(ann, subject, `vk/vk_1/${sid('1')}`)).toMatchObject({ status: 204 });
    const repeated = await blitz.unlink(ann, subject, `vk/vk_1/${sid('1')}?view=full`);
    expect(parsed(repeated)).toEqual({
      status: 200,
      body: { revocation: 'unsupported', manageUrl: 'https://vk.example/apps' },
    });
    const notLinked = { status: 404, body: { type: 'not_found', error: 'not_found', desc: expect.any(String) } };
    expect(parsed(await blitz.unlink(ann, subject, `vk/vk_1/${sid('2')}`))).toEqual(notLinked);
    const bob = await user('bob');
    expect(parsed(await blitz.unlink(bob, 'bob', `vk/vk_1/${sid('1')}`))).toEqual(notLinked);
  });

  test('fifty equal deletions at once: all 204, one deletion in the log', async () => {
    const ann = await user(subject);
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`);
    blitz.project.output.length = 0;
    const path = `vk/vk_1/${sid('1')}`;
    const answers = await Promise.all(Array.from({ length: 50 }, () => blitz.unlink(ann, subject, path)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    expect(auditLines().filter(({ event }) => event === 'account_link.unlinked')).toHaveLength(1);
  });
});

/** The audit lines since the output was last emptied. */
function auditLines(): Record<string, unknown>[] {
  const lines = blitz.project.output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  return lines.filter(({ stream_name }) => stream_name === 'audit');
}

describe('one identity has one subject', () => {
  test("another subject's identity is 409, which does not say whose it is", async () => {
    const [ann, bob] = [await user(subject), await user('bob')];
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`);
    const answer = await blitz.link(bob, 'bob', `vk/vk_1/${sid('1')}`);
    expect(parsed(answer)).toEqual({
      status: 409,
      body: { type: 'process_error', error: 'already_linked_other_user', desc: expect.any(String) },
    });
    expect(answer.body).not.toContain(subject);
    expect(await blitz.links(bob, 'bob')).toEqual([]);
  });

  test('of twenty subjects that race for it one gets 204 and the others 409', async () => {
    const admin = await system();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => blitz.link(admin, `${subject}-${index}`, `vk/vk_1/${sid('1')}`)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(19).fill(409)]);
  });
});

describe('who may', () => {
  const own = () => subject;
  const other = () => `${subject}-other`;

  /** What each of the scopes opens: its own subject, another one, `current`. */
  test.each([
    [SCOPES.read, { list: [200, 403, 200], link: [403, 403, 403], delete: [403, 403, 403] }],
    [SCOPES.change, { list: [403, 403, 403], link: [204, 403, 204], delete: [404, 403, 404] }],
    [SCOPES.systemRead, { list: [403, 403, 403], link: [403, 403, 403], delete: [403, 403, 403] }],
    [SCOPES.systemChange, { list: [403, 403, 403], link: [403, 403, 403], delete: [403, 403, 403] }],
  ])("A01–A08: a user's token with %s alone", async (scope, expected) => {
    const token = await user(subject, scope);
    const subjects = [own(), other(), 'current'];
    for (const [index, who] of subjects.entries()) {
      expect((await blitz.list(token, who)).status).toBe(expected.list[index]);
      expect((await blitz.link(token, who, `vk/vk_1/${sid(`${index}`)}`)).status).toBe(expected.link[index]);
      expect((await blitz.unlink(token, who, `vk/vk_1/${sid('none')}`)).status).toBe(expected.delete[index]);
    }
  });

  test.each([
    [SCOPES.systemRead, { list: 200, link: 403, delete: 403 }],
    [SCOPES.systemChange, { list: 403, link: 204, delete: 404 }],
    [SCOPES.read, { list: 403, link: 403, delete: 403 }],
    [SCOPES.change, { list: 403, link: 403, delete: 403 }],
  ])("A09–A16: an application's token with %s alone, and never on current", async (scope, expected) => {
    const token = await system(scope);
    expect((await blitz.list(token, subject)).status).toBe(expected.list);
    expect((await blitz.link(token, subject, `vk/vk_1/${sid('1')}`)).status).toBe(expected.link);
    expect((await blitz.unlink(token, subject, `vk/vk_1/${sid('none')}`)).status).toBe(expected.delete);
    expect((await blitz.list(token, 'current')).status).toBe(403);
    expect((await blitz.link(token, 'current', `vk/vk_1/${sid('2')}`)).status).toBe(403);
    expect((await blitz.unlink(token, 'current', `vk/vk_1/${sid('2')}`)).status).toBe(403);
  });

  test('A17: a foreign subject is the same 403, byte for byte, whether it exists or not', async () => {
    const bob = await user(`${subject}-bob`);
    await blitz.link(bob, `${subject}-bob`, `vk/vk_1/${sid('1')}`);
    const ann = await user(subject);
    const answers = [];
    for (const who of [`${subject}-bob`, `${subject}-nobody`]) {
      answers.push([
        await blitz.list(ann, who),
        await blitz.link(ann, who, `vk/vk_1/${sid('1')}`),
        await blitz.unlink(ann, who, `vk/vk_1/${sid('1')}`),
        await blitz.unlink(ann, who, `vk/vk_1/${sid('2')}`),
      ]);
    }
    const [known, unknown] = answers.map((all) => all.map(({ status, body }) => `${status} ${body}`));
    expect(known).toEqual(unknown);
    expect(new Set([...(known ?? []), ...(unknown ?? [])]).size).toBe(1);
    expect(answers.flat().every(({ headers }) => headers.get('www-authenticate')?.includes('insufficient_scope'))).toBe(
      true,
    );
    expect(await blitz.links(bob, `${subject}-bob`)).toHaveLength(1);
  });

  test.each([
    ['as a longer word', `${SCOPES.change}x`],
    ['in capitals', SCOPES.change.toUpperCase()],
    ['before a comma', `${SCOPES.change},`],
    ['before a tab', `${SCOPES.change}\t`],
    ['behind a tab', `x\t${SCOPES.change}`],
    ['as a prefix', SCOPES.change.slice(0, -1)],
    ['as two words', 'blitz_api_ufa _chg'],
    ['empty', ''],
  ])('A18: a scope %s opens nothing', async (_name, scope) => {
    const token = `Bearer ${await issueToken({ sub: subject, client_id: 'page', scope })}`;
    expect((await blitz.link(token, subject, `vk/vk_1/${sid('1')}`)).status).toBe(403);
  });

  test('A18: a scope claim that is a list is read as one', async () => {
    const token = `Bearer ${await issueToken({ sub: subject, client_id: 'page', scope: [SCOPES.read, 'x'] })}`;
    expect((await blitz.list(token, subject)).status).toBe(200);
  });

  test('A19: what the body says of the subject counts for nothing', async () => {
    const headers = { Authorization: await user(subject), 'Content-Type': 'application/json' };
    const body = JSON.stringify({ subjectId: other(), sid: 'x', fpName: 'tcs_1' });
    const path = `/blitz/api/v3/users/${subject}/fa/vk/vk_1/${sid('1')}`;
    expect(await blitz.project.gateway('POST', path, headers, body)).toMatchObject({ status: 204 });
    expect(await blitz.links(await system(), subject)).toEqual([{ sid: sid('1'), fpType: 'vk', fpName: 'vk_1' }]);
    expect(await blitz.links(await system(), other())).toEqual([]);
  });

  test('A20: look-alikes of the own subject are others, and the document’s own id is refused with the reason', async () => {
    const token = await user('d2580c98-e584-4aad-a591-97a8cf45cd2a');
    expect((await blitz.list(token, 'd2580c98-e584-4aad-a591-97a8cf45cd2a')).status).toBe(200);
    const pasted = await blitz.list(token, encodeURI('d2580c98‑e584‑4aad‑a591‑97a8cf45cd2a'));
    expect(parsed(pasted)).toMatchObject({ status: 400, body: { type: 'input_error', error: 'wrong_values' } });
    expect(pasted.body).toContain('U+2011');
    expect((await blitz.list(token, 'D2580C98-E584-4AAD-A591-97A8CF45CD2A')).status).toBe(403);
    expect((await blitz.list(token, '%642580c98-e584-4aad-a591-97a8cf45cd2a')).status).toBe(200);
    expect((await blitz.list(token, '%25642580c98-e584-4aad-a591-97a8cf45cd2a')).status).toBe(403);
    expect((await blitz.list(token, 'd2580c98-e584-4aad-a591-97a8cf45cd2a.')).status).toBe(403);
    expect((await blitz.list(token, 'd2580c98-e584-4aad-a591-97a8cf45cd2a%20')).status).toBe(400);
    expect((await blitz.list(token, 'd2580c98-e584-4aad-a591-97a8cf45cd2a%00')).status).toBe(400);
  });

  test('A21: another method is none, whatever a header or a parameter says', async () => {
    const ann = await user(subject);
    await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`);
    const path = `/blitz/api/v3/users/${subject}/fa/vk/vk_1/${sid('1')}`;
    for (const header of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']) {
      await blitz.project.gateway('POST', `${path}?_method=DELETE`, { Authorization: ann, [header]: 'DELETE' });
    }
    expect((await blitz.project.gateway('GET', path, { Authorization: ann })).status).toBe(405);
    expect(await blitz.links(ann, subject)).toHaveLength(1);
  });

  test('A22: an application without a system scope acts for nobody', async () => {
    const basicOnly = application('no-system');
    expect((await blitz.list(basicOnly, subject, 'v2')).status).toBe(403);
    expect((await blitz.list(basicOnly, 'current', 'v2')).status).toBe(403);
    expect((await blitz.list(application('reader'), subject, 'v2')).status).toBe(200);
    expect(parsed(await blitz.raw('link', application('reader'), identityOf('1')))).toMatchObject({
      body: { status: 403 },
    });
    expect(parsed(await blitz.raw('list', basic('admin', 'wrong'), { subjectId: subject }))).toMatchObject({
      body: { status: 401, payload: { type: 'security_error', error: 'invalid_client' } },
    });
  });

  test('A09 of links.md: no system scope makes a user’s token an application’s', async () => {
    const token = await user(subject, ...Object.values(SCOPES));
    expect((await blitz.list(token, other())).status).toBe(403);
    expect((await blitz.link(token, other(), `vk/vk_1/${sid('1')}`)).status).toBe(403);
    expect((await blitz.unlink(token, subject, `vk/vk_1/${sid('1')}?force=true`)).status).toBe(403);
  });

  test.each<[string, () => Promise<string> | string]>([
    ['of nobody', () => 'Bearer unknown'],
    ['of another issuer', async () => `Bearer ${await issueToken({ iss: 'https://other.example', sub: subject })}`],
    ['for another audience', async () => `Bearer ${await issueToken({ aud: 'https://other.example', sub: subject })}`],
    ['that has expired', async () => `Bearer ${await issueToken({ sub: subject, exp: 1_700_000_000 })}`],
    ['of NUL and spaces', () => `Bearer ${' '.repeat(43)}`],
    ['by another scheme', () => `Token ${'x'.repeat(43)}`],
  ])('A11 of links.md: a token %s is 401 with a challenge', async (_name, authorization) => {
    const answer = await blitz.list(await authorization(), subject);
    expect(errorOf(answer)).toEqual({ status: 401, error: 'invalid_token' });
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('A11 of links.md: a token that is revoked is 401 from then on', async () => {
    const claims = { sub: subject, client_id: 'profile-page', scope: SCOPES.read };
    const token = await issueToken(claims);
    expect((await blitz.list(`Bearer ${token}`, subject)).status).toBe(200);
    await blitz.project.raw('smart-home-unlink', {
      headers: { request_id: 'r', authorization: `Bearer ${token}` },
      request_type: 'unlink',
      api_version: 1.0,
    });
    expect(errorOf(await blitz.list(`Bearer ${token}`, subject))).toEqual({ status: 401, error: 'invalid_token' });
  });

  const identityOf = (name: string) => ({ subjectId: subject, fpType: 'vk', fpName: 'vk_1', sid: sid(name) });
});

describe('the parts of an identity', () => {
  test.each([
    ['%2F', 'a/b'],
    ['%252F', '%2F'],
    ['+', '+'],
    ['%2B', '+'],
    ['..%2f..', '../..'],
    ['%D0%BE%D0%BB%D0%B5%D0%B3', 'олег'],
    ['e%CC%81', 'e\u0301'],
    ['%22%3E%3Cscript%3E', '"><script>'],
    ['a%3Bb', 'a;b'],
    ['x'.repeat(240), 'x'.repeat(240)],
  ])('A21 of links.md: the sid …%s is decoded once, kept as it is and found again', async (encoded, decoded) => {
    const ann = await user(subject);
    const path = encoded === '%2F' ? `a%2Fb-${count}` : `${encoded}-${count}`;
    const expected = encoded === '%2F' ? `a/b-${count}` : `${decoded}-${count}`;
    expect((await blitz.link(ann, subject, `vk/vk_1/${path}`)).status).toBe(204);
    expect(await blitz.links(ann, subject)).toEqual([{ sid: expected, fpType: 'vk', fpName: 'vk_1' }]);
    expect((await blitz.unlink(ann, subject, `vk/vk_1/${path}`)).status).toBe(204);
  });

  test.each([
    ['a NUL in the sid', 'vk/vk_1/%00'],
    ['a line break in the sid', 'vk/vk_1/a%0Ab'],
    ['a C1 control in the sid', 'vk/vk_1/a%C2%85b'],
    ['a sid of 256 characters', `vk/vk_1/${'x'.repeat(256)}`],
    ['another spelling of the type', 'VK/vk_1/1'],
    ['another spelling of the name', 'vk/VK_1/1'],
    ['type and name that do not belong together', 'vk/tcs_1/1'],
    ['a provider that there is not', 'nobody/nobody_1/1'],
    ['a colon', 'vk:vk_1/vk_1/1'],
  ])('A21 of links.md: %s is 400, and nothing is linked', async (_name, identity) => {
    const ann = await user(subject);
    const answer = await blitz.link(ann, subject, identity);
    expect(parsed(answer)).toEqual({
      status: 400,
      body: { type: 'input_error', error: 'wrong_values', desc: expect.any(String) },
    });
    expect(await blitz.links(ann, subject)).toEqual([]);
    expect((await blitz.unlink(ann, subject, identity)).status).toBe(400);
  });

  test.each([
    ['a name that is no string', '{"federatedAccountName":7}'],
    ['an empty name', '{"federatedAccountName":""}'],
    ['a name with a line break', '{"federatedAccountName":"a\\nb"}'],
    ['a name with a lone surrogate', '{"federatedAccountName":"\\ud800"}'],
    ['a name of 256 characters', JSON.stringify({ federatedAccountName: 'x'.repeat(256) })],
    ['a name given twice', '{"federatedAccountName":"a","federatedAccountName":"b"}'],
    ['a forbidden key', '{"__proto__":{"federatedAccountName":"a"}}'],
    ['a list', '[]'],
    ['no JSON', '{'],
  ])('A22, A26 of links.md: a body with %s is 400, and nothing is linked', async (_name, body) => {
    const headers = { Authorization: await user(subject), 'Content-Type': 'application/json' };
    const path = `/blitz/api/v3/users/${subject}/fa/vk/vk_1/${sid('1')}`;
    expect((await blitz.project.gateway('POST', path, headers, body)).status).toBe(400);
    expect(await blitz.links(await system(), subject)).toEqual([]);
  });

  test('A22 of links.md: a body of another type is 400, one of a megabyte 413, one on a DELETE is not read', async () => {
    const ann = await user(subject);
    const path = `/blitz/api/v3/users/${subject}/fa/vk/vk_1/${sid('1')}`;
    const form = { Authorization: ann, 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await blitz.project.gateway('POST', path, form, 'federatedAccountName=a')).status).toBe(400);
    const json = { Authorization: ann, 'Content-Type': 'application/json' };
    const large = JSON.stringify({ federatedAccountName: 'x'.repeat(1_000_000) });
    expect(errorOf(await blitz.project.gateway('POST', path, json, large))).toEqual({
      status: 413,
      error: 'payload_too_large',
    });
    expect((await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`)).status).toBe(204);
    expect((await blitz.project.gateway('DELETE', path, json, '{"sid":"other"}')).status).toBe(204);
  });
});

describe('settings', () => {
  async function start(local: Record<string, string>): Promise<LinkProject> {
    const started = await startLinkProject({ local });
    onTestFinished(() => started.close());
    return started;
  }

  test('PROTECT_LAST_LINK keeps the last link, also when two deletions race, and an application may force it', async () => {
    const protecting = await start({ PROTECT_LAST_LINK: 'true' });
    const ann = await user('ann');
    await protecting.link(ann, 'ann', 'vk/vk_1/1');
    await protecting.link(ann, 'ann', 'vk/vk_1/2');
    const race = await Promise.all(['1', '2'].map((id) => protecting.unlink(ann, 'ann', `vk/vk_1/${id}`)));
    expect(race.map(({ status }) => status).sort()).toEqual([204, 409]);
    const refused = race.find(({ status }) => status === 409);
    expect(refused && parsed(refused).body).toMatchObject({ type: 'process_error', error: 'last_login_method' });
    // There is exactly one link left.
    const [{ sid: last }] = (await protecting.links(ann, 'ann')) as [{ sid: string }];
    expect((await protecting.unlink(ann, 'ann', `vk/vk_1/${last}?force=true`)).status).toBe(403);
    expect((await protecting.unlink(await system(), 'ann', `vk/vk_1/${last}?force=yes`)).status).toBe(400);
    expect((await protecting.unlink(await system(), 'ann', `vk/vk_1/${last}?force=true`)).status).toBe(204);
    expect(await protecting.links(ann, 'ann')).toEqual([]);
  });

  test('LINK_BY_SID=system forbids users to claim an account by its id', async () => {
    const strict = await start({ LINK_BY_SID: 'system' });
    expect((await strict.link(await user('ann'), 'ann', 'vk/vk_1/1')).status).toBe(403);
    expect((await strict.link(await system(), 'ann', 'vk/vk_1/1')).status).toBe(204);
    expect((await strict.unlink(await user('ann'), 'ann', 'vk/vk_1/1')).status).toBe(204);
  });

  test('SCOPE_NAMES gives the scopes other names', async () => {
    const renamed = await start({ SCOPE_NAMES: '{"blitz_api_ufa":"links.read"}' });
    expect((await renamed.list(await user('ann', 'links.read'), 'ann')).status).toBe(200);
    expect((await renamed.list(await user('ann', SCOPES.read), 'ann')).status).toBe(403);
    expect((await renamed.link(await user('ann', SCOPES.change), 'ann', 'vk/vk_1/1')).status).toBe(204);
  });

  test.each([
    ['ISSUER', 'https://nobody.example', 'ISSUER must be one of those that ISSUERS names'],
    ['SCOPE_NAMES', '{"blitz_api_uf":"x"}', 'SCOPE_NAMES must be JSON'],
    ['PROVIDERS', '[{"type":"vk"}]', 'PROVIDERS must be JSON'],
    ['LINK_BY_SID', 'all', 'LINK_BY_SID must be any or system'],
    ['ENCRYPTION_KEYS', 'k1:short', 'ENCRYPTION_KEYS must be name:base64'],
    ['PROTECT_LAST_LINK', 'yes', 'PROTECT_LAST_LINK must be true or false'],
    ['STORE_URL', 'redis://127.0.0.1/0', 'DIRECTORY_URL must be'],
  ])(
    'a wrong %s is named in the log, and the caller learns that the function is not configured',
    async (name, value, sentence) => {
      const wrong = await start({ [name]: value });
      wrong.project.output.length = 0;
      const calls = {
        LINK_BY_SID: () => wrong.link('Bearer x', 'ann', 'vk/vk_1/1'),
        PROVIDERS: () => wrong.link('Bearer x', 'ann', 'vk/vk_1/1'),
        ENCRYPTION_KEYS: () => wrong.unlink('Bearer x', 'ann', 'vk/vk_1/1'),
        PROTECT_LAST_LINK: () => wrong.unlink('Bearer x', 'ann', 'vk/vk_1/1'),
      };
      const call = calls[name as keyof typeof calls] ?? (() => wrong.list('Bearer x', 'ann')); // those of other functions
      expect(parsed(await call())).toMatchObject({
        status: 500,
        body: { type: 'system_error', error: 'misconfigured' },
      });
      expect(JSON.stringify(wrong.project.takeLogLine())).toContain(sentence);
    },
  );

  test('a secret that providers.json names must be there, where grants are revoked', async () => {
    const wrong = await startLinkProject({ local: { DEV_1_CLIENT_SECRET: null } });
    onTestFinished(() => wrong.close());
    wrong.project.output.length = 0;
    expect((await wrong.unlink('Bearer x', 'ann', 'vk/vk_1/1')).status).toBe(500);
    expect(JSON.stringify(wrong.project.takeLogLine())).toContain('DEV_1_CLIENT_SECRET must be set');
  });
});

/** Links an account of `ann` with a token that can be revoked. */
async function linkOfAnn({ links }: Directory, identity: ExternalIdentity): Promise<void> {
  const link = { ...identity, subject: 'ann' };
  await links.link({
    ...{ ...link, evidence: 'proved' },
    tokens: sealTokens({ refreshToken: 'r' }, boundToLink(link), EncryptionKeys.parse(TEST_KEYS)),
    audit: { actor: 'operator', requestId: 'import' },
  });
}

test('a link of a provider that is not listed any more is deleted, and its tokens wait for it to come back', async () => {
  const orphaned = await startLinkProject({ local: { PROVIDERS: '[{"type":"tcs","name":"tcs_1"}]' } });
  onTestFinished(() => orphaned.close());
  const directory = await openSqliteDirectory(orphaned.project.database);
  const identity = { fpType: 'gone', fpName: 'gone_1', sid: '1' };
  await linkOfAnn(directory, identity);
  const answer = await orphaned.unlink(await user('ann'), 'ann', 'gone/gone_1/1?view=full');
  expect(parsed(answer)).toEqual({ status: 200, body: { revocation: 'pending' } });
  expect(await directory.outbox.list('pending', { limit: 2 })).toHaveLength(1);
  expect(orphaned.project.output.join('\n')).toContain('an outbox job waits for an operator');
  await directory.close();
});

test('A30 of links.md: a grant that another link shares is left alone, and the answer says so', async () => {
  const google = (name: string) => ({
    ...{ type: 'google', name },
    revocation: { preset: 'google', client_id: '1234-a.apps.googleusercontent.com' },
  });
  const shared = await startLinkProject({ local: { PROVIDERS: JSON.stringify([google('g_1'), google('g_2')]) } });
  onTestFinished(() => shared.close());
  const directory = await openSqliteDirectory(shared.project.database);
  for (const fpName of ['g_1', 'g_2']) {
    const identity = { fpType: 'google', fpName, sid: '1' };
    await linkOfAnn(directory, identity);
  }
  await directory.close();
  const answer = await shared.unlink(await user('ann'), 'ann', 'google/g_1/1?view=full');
  expect(parsed(answer)).toMatchObject({ status: 200, body: { revocation: 'skipped_shared_grant' } });
});

describe('what stands in the way', () => {
  test('a subject with 1,000 links gets no more: 409', async () => {
    const database = new DatabaseSync(blitz.project.database);
    database.exec(`
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
      INSERT INTO account_link (subject, fp_type, fp_name, sid, evidence, linked_at)
      SELECT '${subject}', 'vk', 'vk_1', '${subject}-' || i, 'asserted', i FROM n`);
    database.close();
    const ann = await user(subject);
    expect(parsed(await blitz.link(ann, subject, `vk/vk_1/${sid('one more')}`))).toMatchObject({
      status: 409,
      body: { type: 'process_error', error: 'limit_reached' },
    });
    expect(await blitz.links(ann, subject)).toHaveLength(1000);
  });

  test('a store that is away is 503 and thrown in raw; when it is back, nothing was lost', async () => {
    const away = await startLinkProject({ timeout: 2 });
    onTestFinished(() => away.close());
    const ann = await user('ann');
    await away.link(ann, 'ann', 'vk/vk_1/1');
    renameSync(away.project.database, `${away.project.database}.away`);
    const unavailable = { status: 503, body: { type: 'system_error', error: 'temporarily_unavailable' } };
    const answers = [
      await away.list(ann, 'ann'),
      await away.link(ann, 'ann', 'vk/vk_1/2'),
      await away.unlink(ann, 'ann', 'vk/vk_1/1'),
    ];
    for (const answer of answers) {
      expect(parsed(answer)).toMatchObject(unavailable);
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    const raw = await away.raw('list', ann, { subjectId: 'ann' });
    expect(raw).toMatchObject({ status: 502, body: expect.stringContaining('temporarily_unavailable') });
    renameSync(`${away.project.database}.away`, away.project.database);
    expect(await away.links(ann, 'ann')).toMatchObject([{ sid: '1' }]);
  });
});

test('what is changed is in the audit log, with who did it and without a secret', async () => {
  const ann = await user(subject);
  blitz.project.output.length = 0;
  await blitz.link(ann, subject, `vk/vk_1/${sid('1')}`, 'Ann');
  await blitz.list(ann, subject);
  await blitz.unlink(await system(), subject, `vk/vk_1/${sid('1')}`);
  expect(auditLines()).toEqual([
    expect.objectContaining({
      ...{ level: 'INFO', event: 'account_link.linked', change: 'created', evidence: 'asserted' },
      ...{ subject, fpType: 'vk', fpName: 'vk_1', sid: sid('1'), actor: `subject:${subject}` },
    }),
    expect.objectContaining({
      ...{ level: 'INFO', event: 'account_link.unlinked', revocation: 'unsupported' },
      ...{ subject, fpType: 'vk', fpName: 'vk_1', sid: sid('1'), actor: 'client:admin-service' },
    }),
  ]);
});

test('where the gateway withholds credentials, each call is a 401 that says so', async () => {
  const withholding = await startLinkProject({ stripCredentialHeaders: true });
  onTestFinished(() => withholding.close());
  const answer = await withholding.list(await user('ann'), 'ann');
  expect(parsed(answer)).toMatchObject({ status: 401, body: { type: 'security_error', error: 'invalid_token' } });
  expect(answer.body).toContain('the gateway withholds it');
});
