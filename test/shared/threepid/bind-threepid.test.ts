import { expect, test } from 'vitest';
import { OutgoingFailure } from '#shared/outgoing/send.ts';
import { bindThreepid } from '#shared/threepid/bind-threepid.ts';
import { MAX_BINDINGS, type ThreepidBinding } from '#shared/threepid/threepid-binding.ts';
import { answered, createMatrixPorts } from '#test/support/matrix-ports.ts';

const BODY = { client_secret: 'secret', id_access_token: 'token', id_server: 'id.example.org', sid: '1234' };
const EMAIL = { medium: 'email', address: 'ann@example.test' } as const;
const ANN = { mxid: '@ann:example.org', ...EMAIL };

/** Ports whose identity server proves the address, and answers a bind as a test says. */
function createPorts(bind: () => ReturnType<typeof answered>) {
  return createMatrixPorts(async ({ url }) => (url.endsWith('/3pid/bind') ? bind() : answered(200, EMAIL)));
}

test('a refusal is told though the directory cannot forget what was pending', async () => {
  const { ports, call, told, breakDirectory } = createPorts(() => {
    breakDirectory('put', 'forget');
    return answered(403, { errcode: 'M_TERMS_NOT_SIGNED', error: 'In its own words' });
  });

  await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject({ status: 403, errcode: 'M_TERMS_NOT_SIGNED' });
  expect(await ports.threepids.find(ANN)).toMatchObject([{ state: 'pending' }]);
  expect(told).toContainEqual(['warn', { directory: 'closed' }]);
});

test('so is a bind that the directory cannot confirm: it knows it as pending', async () => {
  const { ports, call, told, breakDirectory } = createPorts(() => {
    breakDirectory('put', 'forget');
    return answered(200, {});
  });

  await bindThreepid(call(BODY), ports);
  expect(await ports.threepids.find(ANN)).toMatchObject([{ state: 'pending' }]);
  expect(told).toContainEqual(['warn', { directory: 'closed' }]);
});

test('a server that has moved to where nothing may be sent in between has bound nothing', async () => {
  const { ports, call } = createPorts(() => {
    throw new OutgoingFailure('forbidden');
  });

  await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject({ status: 502, errcode: 'M_UNKNOWN' });
  expect(await ports.threepids.find(ANN)).toEqual([]);
});

test('however long the call may take: 3 seconds for the homeserver and for the session, 8 in all with the directory', async () => {
  const { ports, call, sent } = createPorts(() => answered(200, {}));

  await bindThreepid(call(BODY), ports);

  const [whoami, session, bind] = sent.map(({ timeoutMs }) => timeoutMs);
  expect([whoami, session]).toEqual([3000, 3000]);
  expect(bind).toBeLessThanOrEqual(7000);
  expect(bind).toBeGreaterThan(5000);
});

/** A bind that is known from before. */
const known = (bindId: string, idServer: string, more: Partial<ThreepidBinding> = {}): ThreepidBinding => ({
  ...{ ...ANN, idServer, bindId, state: 'bound', begunAt: 1 },
  ...more,
});

test('asks for what was validated, then for the bind, with the token for this server', async () => {
  const { ports, call, sent } = createPorts(() => answered(200, {}));

  await bindThreepid(call({ ...BODY, client_secret: 'a.b=c_d-e' }), ports);

  expect(sent.slice(1)).toMatchObject([
    {
      method: 'GET',
      url: 'https://id.example.org/_matrix/identity/v2/3pid/getValidated3pid?client_secret=a.b%3Dc_d-e&sid=1234',
      headers: { Authorization: 'Bearer token' },
    },
    {
      method: 'POST',
      url: 'https://id.example.org/_matrix/identity/v2/3pid/bind',
      headers: { Authorization: 'Bearer token', 'Content-Type': 'application/json' },
    },
  ]);
  const content = { client_secret: 'a.b=c_d-e', mxid: '@ann:example.org', sid: '1234' };
  expect(JSON.parse(String(sent[2]?.body))).toEqual(content);
});

test('is remembered as bound, under an id of its own, and told of', async () => {
  const { ports, call, told } = createPorts(() => answered(200, {}));

  await bindThreepid(call(BODY), { ...ports, now: () => 5000 });

  const [bind, ...others] = await ports.threepids.find(ANN);
  expect(bind).toMatchObject({ ...ANN, idServer: 'id.example.org', state: 'bound', begunAt: 5000 });
  expect(bind?.bindId).toMatch(/^[0-9a-f-]{36}$/);
  expect(others).toEqual([]);
  expect(told).toEqual([
    ['note', { token_id: expect.stringMatching(/^k1\./) }],
    ['note', { id_servers: ['id.example.org done'] }],
    ['audit', { subject: '@ann:example.org', medium: 'email', id_server: 'id.example.org' }],
  ]);
});

test('a server is not asked before the bind is remembered as pending', async () => {
  const { ports, call, sent, breakDirectory } = createPorts(() => answered(200, {}));
  breakDirectory('put');

  await expect(bindThreepid({ ...call(BODY), remainingMs: () => 50 }, ports)).rejects.toMatchObject({
    code: 'temporarily_unavailable',
  });
  expect(sent).toHaveLength(2);
});

test.each<[string, () => ReturnType<typeof answered>, object, boolean]>([
  ['has refused it', () => answered(403, { errcode: 'M_X', error: 'x' }), { status: 403, errcode: 'M_X' }, false],
  ['has failed', () => answered(500, { errcode: 'M_X', error: 'x' }), { status: 500, errcode: 'M_X' }, true],
  ['knows no such request', () => answered(404, {}), { status: 502, errcode: 'M_UNKNOWN' }, true],
  [
    'could not be reached',
    () => {
      throw new OutgoingFailure('unreachable');
    },
    { status: 502, errcode: 'M_UNKNOWN' },
    true,
  ],
])(
  'what a server %s for: it is known as pending unless nothing was bound for sure',
  async (_title, bind, error, stays) => {
    const { ports, call } = createPorts(bind);

    await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject(error);
    expect(await ports.threepids.find(ANN)).toMatchObject(stays ? [{ state: 'pending' }] : []);
  },
);

test('a fault of this code is not taken for one of the directory', async () => {
  const { ports, call } = createPorts(() => answered(200, {}));
  const fault = new TypeError('obviously fake');
  const threepids = {
    ...ports.threepids,
    put: async (binding: ThreepidBinding) => {
      if (binding.state === 'bound') throw fault;
      return ports.threepids.put(binding);
    },
  };

  await expect(bindThreepid(call(BODY), { ...ports, threepids })).rejects.toBe(fault);
});

test('takes the place of what is known at the same server, and of nothing else', async () => {
  const { ports, call } = createPorts(() => answered(200, {}));
  await ports.threepids.put(known('elsewhere', 'other.example.org'));
  await ports.threepids.put(known('bound', 'id.example.org'));
  await ports.threepids.put(known('old', 'id.example.org', { state: 'pending', begunAt: 10_000 }));
  await ports.threepids.put(known('under way', 'id.example.org', { state: 'pending', begunAt: 60_000 }));

  await bindThreepid(call(BODY), { ...ports, now: () => 70_000 });

  const left = await ports.threepids.find(ANN);
  expect(left.map(({ bindId, begunAt }) => (begunAt === 70_000 ? 'new' : bindId))).toEqual([
    'elsewhere',
    'under way',
    'new',
  ]);
});

test('a bind that fails leaves what is known at the server, and one of the pending ones of which nothing will be known', async () => {
  const { ports, call } = createPorts(() => answered(403, { errcode: 'M_X', error: 'x' }));
  await ports.threepids.put(known('bound', 'id.example.org'));
  for (const [index, bindId] of ['1', '2', '3'].entries()) {
    await ports.threepids.put(known(bindId, 'id.example.org', { state: 'pending', begunAt: 2 + index }));
  }

  await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject({ status: 403 });

  expect((await ports.threepids.find(ANN)).map(({ bindId }) => bindId)).toEqual(['bound', '1']);
});

test('does not ask the directory to forget what there is not', async () => {
  const { ports, call, told } = createPorts(() => answered(200, {}));
  const threepids = { ...ports.threepids, forget: () => Promise.reject(new TypeError('nothing is to be forgotten')) };

  await bindThreepid(call(BODY), { ...ports, threepids });

  expect(told.map(([kind]) => kind)).toEqual(['note', 'note', 'audit']);
});

const TOO_MANY = {
  ...{ status: 403, errcode: 'M_FORBIDDEN' },
  message: 'The account has as many identifiers bound as there may be.',
};

test('an identifier is bound at ten servers at the most', async () => {
  const { ports, call, sent } = createPorts(() => answered(200, {}));
  for (let index = 0; index < 9; index += 1) await ports.threepids.put(known(`${index}`, `${index}.example.org`));

  await bindThreepid(call(BODY), ports);
  const before = sent.length;
  await expect(bindThreepid(call({ ...BODY, id_server: 'eleventh.example.org' }), ports)).rejects.toMatchObject(
    TOO_MANY,
  );

  expect(sent.slice(before).map(({ url }) => new URL(url).pathname)).not.toContain('/_matrix/identity/v2/3pid/bind');
});

test('an account has so many at the most that the directory remembers', async () => {
  const { ports, call, sent } = createPorts(() => answered(200, {}));
  for (let index = 0; index < MAX_BINDINGS; index += 1) {
    await ports.threepids.put(known(`${index}`, 'id.example.org', { address: `${index}@example.test` }));
  }

  await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject(TOO_MANY);
  expect(sent).toHaveLength(2);
});

test.each<[string, ReturnType<typeof answered>, object]>([
  ['in its own words', answered(400, { errcode: 'M_SESSION_NOT_VALIDATED', error: 'x' }), { status: 400 }],
  ['that it knows no session', answered(404, {}), { status: 502, errcode: 'M_UNKNOWN' }],
  ['no identifier', answered(200, {}), { status: 502, errcode: 'M_UNKNOWN' }],
  ['no address', answered(200, { medium: 'email' }), { status: 502, errcode: 'M_UNKNOWN' }],
  ['an address of no medium', answered(200, { address: 'ann@example.test' }), { status: 502, errcode: 'M_UNKNOWN' }],
  ['an address that is none', answered(200, { medium: 'email', address: 'ann' }), { status: 502 }],
])('asks for no bind where the server answers of the session %s', async (_title, session, error) => {
  const { ports, call, sent } = createMatrixPorts(async () => session);

  await expect(bindThreepid(call(BODY), ports)).rejects.toMatchObject(error);
  expect(sent).toHaveLength(2);
});

test('gives the session no more time than is left', async () => {
  const { ports, call, sent } = createMatrixPorts(
    async ({ url }) => (url.endsWith('/3pid/bind') ? answered(200, {}) : answered(200, EMAIL)),
    3000,
  );

  await bindThreepid(call(BODY), ports);

  expect(sent[1]?.timeoutMs).toBeLessThanOrEqual(2000);
});

const OPAQUE = 'must be 1 to 255 of 0-9, a-z, A-Z, ".", "=", "_", "-".';
const VISIBLE = 'must be 1 to 8192 visible ASCII characters.';
test.each<[object, string]>([
  [{ client_secret: 7 }, 'The key client_secret must be a string.'],
  [{ client_secret: '' }, `The key client_secret ${OPAQUE}`],
  [{ client_secret: 'a b' }, `The key client_secret ${OPAQUE}`],
  [{ sid: 'a/b' }, `The key sid ${OPAQUE}`],
  [{ sid: '/a' }, `The key sid ${OPAQUE}`],
  [{ sid: 'a'.repeat(256) }, `The key sid ${OPAQUE}`],
  [{ id_access_token: 7 }, 'The key id_access_token must be a string.'],
  [{ id_access_token: '' }, `The key id_access_token ${VISIBLE}`],
  [{ id_access_token: ' a' }, `The key id_access_token ${VISIBLE}`],
  [{ id_access_token: 'a\n' }, `The key id_access_token ${VISIBLE}`],
  [{ id_access_token: 'a'.repeat(8193) }, `The key id_access_token ${VISIBLE}`],
  [{ id_server: 7 }, 'The key id_server must be a string.'],
  [{ id_server: 'localhost' }, 'The key id_server must be the public host name of an identity server.'],
])('refuses %j and asks no identity server', async (more, message) => {
  const { ports, call, sent } = createPorts(() => answered(200, {}));

  await expect(bindThreepid(call({ ...BODY, ...more }), ports)).rejects.toMatchObject({
    ...{ status: 400, errcode: 'M_INVALID_PARAM', message },
  });
  expect(sent).toHaveLength(1);
});

test('takes ids and secrets of 255 characters and a token of 8192', async () => {
  const { ports, call } = createPorts(() => answered(200, {}));
  const longest = { client_secret: 'a'.repeat(255), sid: 'Z'.repeat(255), id_access_token: '~'.repeat(8192) };

  await expect(bindThreepid(call({ ...BODY, ...longest }), ports)).resolves.toBeUndefined();
});

test('is an event of the audit log', async () => {
  const { ports, call } = createPorts(() => answered(200, {}));
  const events: string[] = [];

  await bindThreepid({ ...call(BODY), audit: (event) => void events.push(event) }, ports);

  expect(events).toEqual(['threepid.bound']);
});
