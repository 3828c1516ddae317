import { expect, test } from 'vitest';
import { OutgoingFailure } from '#shared/outgoing/send.ts';
import { bindThreepid } from '#shared/threepid/bind-threepid.ts';
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
