import { expect, test } from 'vitest';
import { OutgoingFailure, type OutgoingFault } from '#shared/outgoing/send.ts';
import { signRequest } from '#shared/threepid/signing.ts';
import { unbindThreepid } from '#shared/threepid/unbind-threepid.ts';
import { answered, createMatrixPorts } from '#test/support/matrix-ports.ts';

const EMAIL = { medium: 'email', address: 'ann@example.test' } as const;
const BOUND = { mxid: '@ann:example.org', ...EMAIL, bindId: 'before', state: 'bound', begunAt: 1 } as const;

test('what a server has done is in the audit log though the directory cannot forget it, and is no success', async () => {
  const { ports, call, told, breakDirectory } = createMatrixPorts(async () => answered(200, {}), 300);
  await ports.threepids.put({ ...BOUND, idServer: 'id.example.org' });
  breakDirectory('forget');

  await expect(unbindThreepid(call(EMAIL), ports)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  expect(told.filter(([kind]) => kind === 'audit')).toEqual([
    ['audit', { subject: '@ann:example.org', medium: 'email', id_server: 'id.example.org' }],
  ]);
});

test('however long the call may take: 3 seconds for the homeserver, 8 in all with the directory, for every server alike', async () => {
  const { ports, call, sent } = createMatrixPorts(async () => answered(200, {}));
  for (const idServer of ['a.example.org', 'b.example.org']) await ports.threepids.put({ ...BOUND, idServer });

  expect(await unbindThreepid(call(EMAIL), ports)).toBe('success');

  const [whoami, ...servers] = sent.map(({ timeoutMs }) => timeoutMs);
  expect(whoami).toBe(3000);
  expect(servers).toHaveLength(2);
  for (const timeoutMs of servers) {
    expect(timeoutMs).toBeLessThanOrEqual(7000);
    expect(timeoutMs).toBeGreaterThan(5000);
  }
});

const REFUSAL = { errcode: 'M_FORBIDDEN', error: 'In its own words' };

/** Ports whose identity servers answer by their names, and fail where they are given a fault. */
function serversThat(answers: Readonly<Record<string, ReturnType<typeof answered> | OutgoingFault>>) {
  return createMatrixPorts(async ({ url }) => {
    const answer = answers[new URL(url).host] ?? answered(200, {});
    if (typeof answer === 'string') throw new OutgoingFailure(answer);
    return answer;
  });
}

test('asks the server in the name of the homeserver, with a signature for this server alone', async () => {
  const { ports, call, sent } = serversThat({});

  await unbindThreepid(call({ ...EMAIL, id_server: 'id.example.org' }), ports);

  const [, request] = sent;
  const content = { mxid: '@ann:example.org', threepid: EMAIL };
  const signed = {
    method: 'POST',
    uri: '/_matrix/identity/v2/3pid/unbind',
    origin: 'example.org',
    destination: 'id.example.org',
    content,
  } as const;
  expect(request).toMatchObject({
    method: 'POST',
    url: 'https://id.example.org/_matrix/identity/v2/3pid/unbind',
    headers: { Authorization: signRequest(signed, ports.signingKey), 'Content-Type': 'application/json' },
  });
  expect(JSON.parse(String(request?.body))).toEqual(content);
});

test('asks the server that is named, and no other', async () => {
  const { ports, call, sent } = serversThat({});
  await ports.threepids.put({ ...BOUND, idServer: 'known.example.org' });

  expect(await unbindThreepid(call({ ...EMAIL, id_server: 'named.example.org' }), ports)).toBe('success');
  expect(sent.slice(1).map(({ url }) => new URL(url).host)).toEqual(['named.example.org']);
  expect(await ports.threepids.find(BOUND)).toHaveLength(1);
});

test.each([{}, { id_server: null }, { id_server: '' }])(
  'asks each server once where the identifier is known to be bound, when the call says %j',
  async (more) => {
    const { ports, call, sent, told } = serversThat({});
    for (const [bindId, idServer] of [
      ['1', 'a.example.org'],
      ['2', 'b.example.org'],
      ['3', 'a.example.org'],
    ] as const) {
      await ports.threepids.put({ ...BOUND, bindId, idServer });
    }

    expect(await unbindThreepid(call({ ...EMAIL, address: 'Ann@Example.test', ...more }), ports)).toBe('success');
    expect(sent.slice(1).map(({ url }) => new URL(url).host)).toEqual(['a.example.org', 'b.example.org']);
    expect(await ports.threepids.find(BOUND)).toEqual([]);
    expect(told.filter(([kind]) => kind === 'note')).toEqual([
      ['note', { token_id: expect.stringMatching(/^k1\./) }],
      ['note', { id_servers: ['a.example.org done', 'b.example.org done'] }],
      ['note', { result: 'success' }],
    ]);
  },
);

test('is no success where no server is known', async () => {
  const { ports, call, sent } = serversThat({});

  expect(await unbindThreepid(call(EMAIL), ports)).toBe('no-support');
  expect(sent).toHaveLength(1);
});

test('is no success where one of the servers does not support it, and forgets those that do', async () => {
  const { ports, call, told, breakDirectory } = serversThat({ 'old.example.org': answered(404, {}) });
  for (const idServer of ['old.example.org', 'new.example.org']) await ports.threepids.put({ ...BOUND, idServer });

  expect(await unbindThreepid(call(EMAIL), ports)).toBe('no-support');
  expect(await ports.threepids.find(BOUND)).toMatchObject([{ idServer: 'old.example.org' }]);
  expect(told).toContainEqual(['note', { result: 'no-support' }]);

  breakDirectory('forget'); // Nothing is left to forget, so the directory is not asked to.
  expect(await unbindThreepid(call(EMAIL), ports)).toBe('no-support');
});

test('forgets a bind that is pending, unless what came of it may still become known', async () => {
  const { ports, call } = serversThat({});
  for (const [bindId, begunAt] of [
    ['old', 10_000],
    ['under way', 60_000],
  ] as const) {
    await ports.threepids.put({ ...BOUND, idServer: 'id.example.org', bindId, state: 'pending', begunAt });
  }

  await unbindThreepid(call(EMAIL), { ...ports, now: () => 70_000 });

  expect(await ports.threepids.find(BOUND)).toMatchObject([{ bindId: 'under way' }]);
});

test.each<[string, Readonly<Record<string, ReturnType<typeof answered> | OutgoingFault>>, object]>([
  [
    'its own refusal before that another was too slow',
    { 'a.example.org': 'timed_out', 'b.example.org': answered(403, REFUSAL) },
    { status: 403, message: 'In its own words' },
  ],
  [
    'its own error before that another could not be reached',
    { 'a.example.org': 'unreachable', 'b.example.org': answered(500, REFUSAL) },
    { status: 500, message: 'In its own words' },
  ],
  [
    'that it was too slow before that another could not be reached',
    { 'a.example.org': 'unreachable', 'b.example.org': 'timed_out' },
    { status: 504 },
  ],
  [
    'that it could not be reached before that another does not support it',
    { 'a.example.org': answered(404, {}), 'b.example.org': 'unreachable' },
    { status: 502 },
  ],
])('tells of a server %s, and forgets the one that has done it', async (_title, answers, error) => {
  const { ports, call } = serversThat(answers);
  for (const idServer of ['a.example.org', 'b.example.org', 'c.example.org']) {
    await ports.threepids.put({ ...BOUND, idServer });
  }

  await expect(unbindThreepid(call(EMAIL), ports)).rejects.toMatchObject(error);
  expect((await ports.threepids.find(BOUND)).map(({ idServer }) => idServer)).toEqual([
    'a.example.org',
    'b.example.org',
  ]);
});

test('unbinds a phone number by its digits', async () => {
  const { ports, call, sent } = serversThat({});

  await unbindThreepid(call({ medium: 'msisdn', address: '+447700900000', id_server: 'id.example.org' }), ports);

  expect(JSON.parse(String(sent[1]?.body)).threepid).toEqual({ medium: 'msisdn', address: '447700900000' });
});

test.each([
  [{ address: 'a@b.test' }, 'M_MISSING_PARAM', 'The key medium is missing.'],
  [{ medium: 'irc', address: 'a@b.test' }, 'M_INVALID_PARAM', 'The key medium must be "email" or "msisdn".'],
  [{ medium: 'email', address: 7 }, 'M_INVALID_PARAM', 'The key address must be a string.'],
  [{ medium: 'email', address: 'ann' }, 'M_INVALID_PARAM', 'The key address must be an e-mail address.'],
  [{ medium: 'msisdn', address: 'ann' }, 'M_INVALID_PARAM', 'The key address must be a phone number.'],
  [{ ...EMAIL, id_server: 7 }, 'M_INVALID_PARAM', 'The key id_server must be a string.'],
  [
    { ...EMAIL, id_server: '127.0.0.1' },
    'M_INVALID_PARAM',
    'The key id_server must be the public host name of an identity server.',
  ],
])('refuses %j with %s and asks no identity server', async (body, errcode, message) => {
  const { ports, call, sent } = serversThat({});

  await expect(unbindThreepid(call(body), ports)).rejects.toMatchObject({ status: 400, errcode, message });
  expect(sent).toHaveLength(1);
});

test('is an event of the audit log for each server that has done it', async () => {
  const { ports, call } = serversThat({ 'old.example.org': answered(404, {}) });
  const events: string[] = [];
  for (const idServer of ['a.example.org', 'b.example.org', 'old.example.org']) {
    await ports.threepids.put({ ...BOUND, idServer });
  }

  await unbindThreepid({ ...call(EMAIL), audit: (event) => void events.push(event) }, ports);

  expect(events).toEqual(['threepid.unbound', 'threepid.unbound']);
});
