import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Certificates, createCertificateAuthority } from '#scripts/matrix/certificates.ts';
import { callHttps } from './https-call.ts';
import {
  type MisbehavingIdentityServer,
  type Misbehaviour,
  type OwnAnswer,
  PROVED_THREEPID,
  startMisbehavingIdentityServer,
} from './misbehaving-identity-server.ts';

const UNBIND = '/_matrix/identity/v2/3pid/unbind';

let certificates: Certificates;

beforeAll(async () => {
  const authority = await createCertificateAuthority();
  certificates = await authority.issue(['localhost']);
});

async function startServer(): Promise<MisbehavingIdentityServer> {
  const server = await startMisbehavingIdentityServer(certificates);
  onTestFinished(() => server.close());
  return server;
}

test('it says yes until it is told otherwise, and keeps what has arrived', async () => {
  const server = await startServer();
  const call = { method: 'POST', body: '{"mxid":"@ann:example.test"}' };

  const bound = await callHttps(`${server.url}/_matrix/identity/v2/3pid/bind`, certificates.ca, call);
  const validated = await callHttps(`${server.url}/_matrix/identity/v2/3pid/getValidated3pid?sid=1`, certificates.ca);
  const unbound = await callHttps(`${server.url}${UNBIND}`, certificates.ca, call);

  expect(JSON.parse(bound.body)).toMatchObject({ ...PROVED_THREEPID, mxid: '@ann:example.test' });
  expect(JSON.parse(validated.body)).toMatchObject(PROVED_THREEPID);
  expect(unbound).toMatchObject({ status: 200, body: '{}' });
  expect(server.requests.map(({ method, path }) => `${method} ${path.split('/').at(-1)}`)).toEqual([
    'POST bind',
    'GET getValidated3pid',
    'POST unbind',
  ]);
  expect(server.connections).toBe(3);
});

test.each<[OwnAnswer, string]>([
  [{ status: 200, body: {}, headers: { 'Content-Type': 'text/html' } }, '{}'],
  [{ status: 200, body: null }, 'null'],
  [{ status: 200 }, ''],
  [{ status: 204 }, ''],
  [{ status: 200, body: '<html>', headers: { 'Content-Type': 'text/html' } }, '<html>'],
  [{ status: 302, headers: { Location: 'https://other.example/' } }, ''],
  [
    { status: 429, headers: { 'Retry-After': '7' }, body: { errcode: 'M_LIMIT_EXCEEDED', error: 'Later.' } },
    '{"errcode":"M_LIMIT_EXCEEDED","error":"Later."}',
  ],
])('it answers %j from then on, and only what it is told to', async (answer, body) => {
  const server = await startServer();
  server.answer(answer);

  const unbound = await callHttps(`${server.url}${UNBIND}`, certificates.ca, { method: 'POST' });
  const bound = await callHttps(`${server.url}/_matrix/identity/v2/3pid/bind`, certificates.ca, { method: 'POST' });

  expect(unbound).toMatchObject({ status: answer.status, body });
  for (const [name, value] of Object.entries(answer.headers ?? {}))
    expect(unbound.headers[name.toLowerCase()]).toBe(value);
  expect(bound.status).toBe(200);
});

test.each<[Misbehaviour, string]>([
  ['reset', 'socket hang up'],
  ['reset in body', 'aborted'],
  ['truncate', 'aborted'],
  ['large head', 'Parse Error: Header overflow'],
])('%s fails for the client as "%s"', async (misbehaviour, message) => {
  const server = await startServer();
  server.answer(misbehaviour);

  await expect(callHttps(`${server.url}${UNBIND}`, certificates.ca)).rejects.toThrow(message);
});

test.each<Misbehaviour>(['hang', 'drip', 'drip headers', 'endless'])('%s comes to no end', async (misbehaviour) => {
  const server = await startServer();
  server.answer(misbehaviour);
  const abort = new AbortController();

  const answered = callHttps(`${server.url}${UNBIND}`, certificates.ca, { signal: abort.signal });
  // A later call is answered meanwhile.
  await callHttps(`${server.url}/_matrix/identity/v2`, certificates.ca);
  abort.abort();

  await expect(answered).rejects.toThrow('aborted');
});

test('interim answers come before the answer', async () => {
  const server = await startServer();
  server.answer('interim answers');

  expect(await callHttps(`${server.url}${UNBIND}`, certificates.ca)).toMatchObject({ status: 200, body: '{}' });
});
