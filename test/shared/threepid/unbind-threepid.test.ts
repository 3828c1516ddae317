import { expect, test } from 'vitest';
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
