import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import { parse } from 'ipaddr.js';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  isLocalAddress,
  isPublicAddress,
  isPublicHostname,
  lookUpAddresses,
  queryAddresses,
} from '#shared/outgoing/public-address.ts';
import { HOSTILE_HOSTS } from '#test/support/hostile-hosts.ts';

describe('an address is local', () => {
  test.each([
    ...['127.0.0.1', '127.255.0.1', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254'],
    ...['100.64.0.1', '::1', 'fd00::1', 'fe80::1', 'fe80::1%eth0'],
  ])('%s', (address) => {
    expect(isLocalAddress(address)).toBe(true);
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each([
    ...['1.1.1.1', '172.32.0.1', '192.169.0.1', '2606:4700::1111', '0.0.0.0', '::', '198.18.0.1', '203.0.113.1'],
    ...['::ffff:8.8.8.8', '::ffff:127.0.0.1', '64:ff9b::808:808', '2002:7f00:1::', 'localhost', ''],
  ])('never %j', (address) => {
    expect(isLocalAddress(address)).toBe(false);
  });
});

describe('a hostname of a URL is public', () => {
  test.each(['login.example.com', 'xn--e1afmkfd.xn--p1ai', '1.1.1.1', '[2606:4700::1111]'])('%s', (hostname) => {
    expect(isPublicHostname(hostname)).toBe(true);
  });

  test.each([
    ...['localhost', 'localhost.', 'a.localhost', 'login.example.com.', 'login', 'db.internal', 'a.svc', 'a..b', ''],
    ...['127.0.0.1', '10.0.0.1', '169.254.169.254', '[::1]', '[fd00::1]', '[fe80::1]', '[::ffff:7f00:1]', '1.1'],
  ])('never %j', (hostname) => {
    expect(isPublicHostname(hostname)).toBe(false);
  });
});

describe('an address is public', () => {
  test.each([
    ...['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.255.255'],
    ...['172.32.0.0', '192.0.3.0', '198.17.255.255', '198.20.0.0', '223.255.255.255', '168.63.129.15'],
    ...['2001:200::1', '2001:4860:4860::8888', '2003::1', '2606:4700::1111', '2a02:6b8::1', '3ffe::1'],
  ])('%s', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  const written = HOSTILE_HOSTS.map(
    ([id, host]) => [id, host.replace(/^\[(.*)\]$/, '$1').replace(':443', '')] as const,
  );
  const read = HOSTILE_HOSTS.flatMap(([id, host]) => {
    const url = `https://${host}/`;
    return URL.canParse(url) ? [[id, new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')] as const] : [];
  });
  test.each([...written, ...read].map(([id, text]) => [id, JSON.stringify(text).slice(0, 40), text] as const))(
    'none that is one of the attacks: %s %s',
    (_id, _shown, text) => {
      expect(isPublicAddress(text)).toBe(false);
    },
  );

  // S-SSRF-07: an oracle that says unicast is not enough.
  test.each(['::7f00:1', '100:0:0:1::1', '4000::1', '168.63.129.16', '1.2.3'])(
    'none that a well-known library takes for one: %s',
    (address) => {
      expect(parse(address).range()).toBe('unicast');
      expect(isPublicAddress(address)).toBe(false);
    },
  );

  test.each(['::127.0.0.1', '2001:4860:4860::8888%eth0', '01.1.1.1', '1.1.1.1 ', '', 'example.org'])(
    'none that is %j',
    (address) => {
      expect(isPublicAddress(address)).toBe(false);
    },
  );

  test('where a well-known library says unicast, and the gaps of it are left out', () => {
    const group = fc.nat(0xffff).map((value) => value.toString(16));
    const edges = ['2000', '2001', '2002', '2003', '2620', '3ffe', '3fff', '2a00', '0', 'fe80', '64'];
    const ipv6 = fc
      .tuple(fc.oneof(fc.constantFrom(...edges), group), fc.array(group, { minLength: 7, maxLength: 7 }))
      .map(([first, rest]) => [first, ...rest].join(':'));
    const nearby = fc
      .tuple(fc.constantFrom('2001', '2620', '3fff', '2002'), fc.constantFrom('0', '1ff', '200', '4f', 'db8', 'db9'))
      .map(([first, second]) => `${first}:${second}:8000::1`);
    const ipv4 = fc
      .tuple(fc.constantFrom(0, 10, 100, 127, 169, 172, 192, 198, 203, 224, 240), fc.nat(255), fc.nat(255), fc.nat(255))
      .map((bytes) => bytes.join('.'));
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), ipv4, ipv6, nearby), (address) => {
        const oracle = parse(address);
        const isGlobal = oracle.kind() === 'ipv4' || (Number(oracle.toByteArray()[0]) & 0xe0) === 0x20;
        expect(isPublicAddress(address)).toBe(isGlobal && oracle.range() === 'unicast' && address !== '168.63.129.16');
      }),
      { numRuns: 5000 },
    );
  });
});

const TYPES = { 1: 'A', 28: 'AAAA' } as const;
type Answer = { code?: number; addresses?: readonly string[] };

/** A name server of one test. Resolves to its address and port. */
async function startNameServer(answer: (type: 'A' | 'AAAA', name: string) => Answer | undefined): Promise<string> {
  const server = createSocket('udp4');
  server.on('message', (query, { port, address }) => {
    const end = query.indexOf(0, 12) + 5;
    const name = query.toString('latin1', 12, end - 5).replace(/[^a-z0-9]/g, '.');
    const type = TYPES[query.readUInt16BE(end - 4) as keyof typeof TYPES];
    const { code = 0, addresses = [] } = answer(type, name) ?? { code: -1 };
    if (code === -1) return;
    const header = Buffer.from([0, 0, 0x81, 0x80 | code, 0, 1, 0, addresses.length, 0, 0, 0, 0]);
    query.copy(header, 0, 0, 2);
    const records = addresses.map((text) => {
      const bytes = parse(text).toByteArray();
      return Buffer.from([0xc0, 12, 0, type === 'A' ? 1 : 28, 0, 1, 0, 0, 0, 0, 0, bytes.length, ...bytes]);
    });
    server.send(Buffer.concat([header, query.subarray(12, end), ...records]), port, address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `127.0.0.1:${server.address().port}`;
}

describe('addresses of a host that a user names', () => {
  const { signal } = new AbortController();

  test('are those of both families, of the very name', async () => {
    const names = new Set<string>();
    const server = await startNameServer((type, name) => {
      names.add(name);
      return { addresses: type === 'A' ? ['192.0.2.1', '192.0.2.2'] : ['2001:db8::1'] };
    });
    expect(await queryAddresses('id.example', signal, [server])).toEqual([
      { address: '192.0.2.1', family: 4 },
      { address: '192.0.2.2', family: 4 },
      { address: '2001:db8::1', family: 6 },
    ]);
    expect([...names]).toEqual(['.id.example']);
  });

  test.each([
    ['A', '192.0.2.1', 4],
    ['AAAA', '2001:db8::1', 6],
  ] as const)('are those of one family when the other has none: %s', async (only, address, family) => {
    const server = await startNameServer((type) => (type === only ? { addresses: [address] } : {}));
    expect(await queryAddresses('id.example', signal, [server])).toEqual([{ address, family }]);
  });

  test.each(['A', 'AAAA'] as const)('are not waited for where the question is dropped: all but %s', async (only) => {
    const server = await startNameServer((type) =>
      type === only ? { addresses: [only === 'A' ? '192.0.2.1' : '2001:db8::1'] } : undefined,
    );
    expect(await queryAddresses('id.example', AbortSignal.timeout(3000), [server])).toHaveLength(1);
  });

  test.each([
    ['ENODATA', 0],
    ['ESERVFAIL', 2],
    ['ENOTFOUND', 3],
  ])('are none: %s', async (code, answered) => {
    const server = await startNameServer(() => ({ code: answered }));
    await expect(queryAddresses('id.example', signal, [server])).rejects.toMatchObject({ code });
  });

  test('are asked for no longer than the signal lets', async () => {
    const controller = new AbortController();
    const server = await startNameServer(() => {
      controller.abort();
      return undefined;
    });
    await expect(queryAddresses('id.example', controller.signal, [server])).rejects.toMatchObject({
      code: 'ECANCELLED',
    });
  });
});

test('a host that settings name is found where this machine looks, its hosts file included', async () => {
  const addresses = (await lookUpAddresses('localhost')).map(({ address }) => address);
  expect(addresses).toContain('127.0.0.1');
});
