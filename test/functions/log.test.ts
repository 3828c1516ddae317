/** What docs/operations.md says of the log: whom a line names, and what an audit line has of its call. */
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { application, LINK_SETTINGS, SCOPES, user } from '#test/support/link-calls.ts';
import { makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import { startMisbehavingIdentityServer } from '#test/support/misbehaving-identity-server.ts';
import { issueToken } from '#test/support/test-issuer.ts';

const SUBJECT = 'obviously-fake-subject';

type Line = Record<string, unknown>;

/** The lines of calls, and the audit lines, so far. */
function linesOf({ output }: EmulatedProject): { calls: Line[]; audit: Line[] } {
  const lines = output.filter((line) => line.startsWith('{')).map((line): Line => JSON.parse(line));
  return {
    calls: lines.filter(({ outcome, transport }) => outcome !== undefined && transport !== 'timer'),
    audit: lines.filter(({ stream_name }) => stream_name === 'audit'),
  };
}

let project: EmulatedProject;

beforeEach(async () => {
  project = await startProject({ local: LINK_SETTINGS });
  onTestFinished(() => project.close());
});

const link = (authorization: string, method: string, version = 'v2') =>
  project.gateway(
    method,
    `/blitz/api/${version}/users/${SUBJECT}/fa/vk/vk_1/1`,
    { Authorization: authorization, 'Content-Type': 'application/json' },
    method === 'POST' ? '{}' : undefined,
  );

test('every line about a subject has the same digest of it, whoever calls', async () => {
  const scope = `${SCOPES.read} ${SCOPES.change}`;
  const token = await issueToken({ sub: SUBJECT, client_id: 'skill', scope });
  const authorization = `Bearer ${token}`;

  await project.gateway('GET', '/whoami', { Authorization: authorization });
  await link(authorization, 'POST', 'v3');
  await link(application(), 'POST');
  await project.gateway('GET', `/blitz/api/v2/users/${SUBJECT}/fa`, { Authorization: application() });
  await link(application(), 'DELETE');
  await project.raw('smart-home-unlink', { headers: { authorization }, request_type: 'unlink', api_version: 1 });

  const refs = linesOf(project).calls.flatMap(({ function: name, subject_ref: ref }) => (ref ? [[name, ref]] : []));
  expect(refs.map(([name]) => name)).toEqual([
    'token-authorize',
    'external-provider-link',
    'external-provider-link',
    'external-provider-list',
    'external-provider-delete',
    'smart-home-unlink',
  ]);
  expect(new Set(refs.map(([, ref]) => ref)).size).toBe(1);
  expect(refs[0]?.[1]).toMatch(/^k1\.[\w-]{43}$/);
});

test('no line but an audit line names a subject', async () => {
  await link(await user(SUBJECT), 'POST', 'v3');
  await link(await user(SUBJECT), 'DELETE', 'v3');
  await link(await user('somebody-else'), 'DELETE', 'v3');
  await project.raw('smart-home-unlink', {
    headers: { authorization: await user(SUBJECT) },
    request_type: 'unlink',
    api_version: 1,
  });

  const { calls, audit } = linesOf(project);
  expect(calls.length).toBe(4);
  expect(JSON.stringify(calls)).not.toContain(SUBJECT);
  expect(audit.map(({ event, subject }) => [event, subject])).toEqual([
    ['account_link.linked', SUBJECT],
    ['account_link.unlinked', SUBJECT],
  ]);
});

test('nor does a line of a Matrix call', async () => {
  const certificates = await makeCertificates();
  const identity = await startMisbehavingIdentityServer(certificates);
  onTestFinished(() => identity.close());
  const mxid = `@${SUBJECT}:example.test`;
  const homeserver = await startHttpServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ user_id: mxid }));
  });
  const local = { MATRIX_HOMESERVER_URL: homeserver, MATRIX_SERVER_NAME: 'example.test' };
  const matrix = await startMatrixProject(certificates, [identity.name], { local });
  onTestFinished(() => matrix.close());

  await matrix.post('unbind', 'a', { medium: 'email', address: 'ann@example.test', id_server: identity.name });

  const { calls, audit } = linesOf(matrix.project);
  expect(calls).toEqual([expect.objectContaining({ outcome: 'ok', result: 'success' })]);
  expect(JSON.stringify(calls)).not.toContain(SUBJECT);
  expect(audit).toEqual([expect.objectContaining({ event: 'threepid.unbound', subject: mxid })]);
});

test('an audit line is of the same call as its line, and says by which credential', async () => {
  await link(await user(SUBJECT), 'POST', 'v3');
  await link(application(), 'DELETE');

  const { calls, audit } = linesOf(project);
  const [byUser, byApplication] = audit;
  const shared = ({ invocation_id, trace_id, span_id, request_id, client_id }: Line = {}) => ({
    ...{ invocation_id, trace_id, span_id, request_id, client_id },
  });
  expect(audit.map(shared)).toEqual(calls.map(shared));
  expect(byUser).toMatchObject({
    actor: `subject:${SUBJECT}`,
    token_id: calls[0]?.token_id,
    client_id: 'profile-page',
  });
  expect(byUser?.token_id).toMatch(/^k1\./);
  expect(byApplication).toMatchObject({ actor: 'client:admin', client_id: 'admin' });
  expect(byApplication).not.toHaveProperty('token_id');
});

test('a host that may not be asked is told apart, known without looking for it or not', async () => {
  const call = { headers: { authorization: 'Bearer a' }, request_type: '3pid.unbind', api_version: 1 };
  const homeserver = await startHttpServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"user_id":"@ann:example.test"}');
  });
  const local = { ...LINK_SETTINGS, MATRIX_HOMESERVER_URL: homeserver, MATRIX_SERVER_NAME: 'example.test' };
  const matrix = await startProject({ local });
  onTestFinished(() => matrix.close());
  const payload = { medium: 'email', address: 'ann@example.test', id_server: '169.254.169.254' };

  await matrix.raw('threepid-unbind', { ...call, payload });

  expect(linesOf(matrix).calls).toEqual([expect.objectContaining({ outcome: 'denied', outgoing_fault: 'forbidden' })]);
});
