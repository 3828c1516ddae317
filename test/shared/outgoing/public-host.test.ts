import type { LookupAddress } from 'node:dns';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AllowedHosts, createPublicSend, parsePublicHost } from '#shared/outgoing/public-host.ts';
import { HOSTILE_HOSTS } from '#test/support/hostile-hosts.ts';
import { networkUseOf } from '#test/support/network-use.ts';

const NOTHING = { lookups: [], connections: [] };
/** Of a range that nobody has been given: public, and nobody is there. */
const NOBODY = '3000::1';

/** A resolver with an answer for each call, the last one for all that follow. It writes down what it is asked. */
function createResolver(...answers: (readonly string[])[]) {
  const asked: string[] = [];
  const resolve = async (hostname: string): Promise<readonly LookupAddress[]> => {
    asked.push(hostname);
    const addresses = answers[Math.min(asked.length, answers.length) - 1] ?? [];
    return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  };
  return { asked, resolve };
}

const shown = (text: unknown) => JSON.stringify(text).slice(0, 40);

describe('a host that nobody may name', () => {
  const rows = HOSTILE_HOSTS.map(([id, text]) => [id, shown(text), text] as const);

  test.each(rows)('%s %s is refused', (_id, _shown, text) => {
    expect(parsePublicHost(text, [])).toBeUndefined();
    expect(parsePublicHost(`https://${text}/`, [])).toBeUndefined();
  });

  test.each(rows)('%s %s is neither looked up nor connected to', async (_id, _shown, text) => {
    const { asked, resolve } = createResolver(['127.0.0.1']);
    const url = `https://${text}/x`;
    const use = await networkUseOf(() =>
      expect(
        createPublicSend({ allowed: [], resolve })({ method: 'POST', url, timeoutMs: 5000 }),
      ).rejects.toMatchObject({ fault: 'forbidden' }),
    );
    expect(use).toEqual(NOTHING);
    // In a URL these are a host that may be named, and a path.
    expect(asked).toEqual(/^evil\.example[/#?\\]/.test(text) ? ['evil.example'] : []);
  });

  test.each([
    ['N01', null],
    ['N02', 0],
    ['N03', true],
    ['N04', {}],
    ['N05', []],
    ['N06', ['evil.example']],
    ['N07', { toString: 'x' }],
    ['N08', { length: 9 }],
    ['N09', undefined],
  ])('%s %j is refused', (_id, value) => {
    expect(parsePublicHost(value, [])).toBeUndefined();
  });

  test.each([
    ...['\u212aey.example.org', 'evil.example%2e', 'a.0x7f', 'a.b.1', 'xn--a.example', 'a.local', 'x.home.arpa'],
    ...['https://https://example.org', 'HTTP://example.org', 'example.org:8449', 'example.org '],
  ])('%j is refused as well', (text) => {
    expect(parsePublicHost(text, [])).toBeUndefined();
  });
});

describe('a host that a user may name', () => {
  test.each([
    ['OK1', 'example.org', 'example.org'],
    ['OK2', 'EXAMPLE.ORG', 'example.org'],
    ['OK3', 'id.example.net', 'id.example.net'],
    ['OK4', 'is.example.org:8448', 'is.example.org:8448'],
    ['OK5', 'xn--e1afmkfd.xn--p1ai', 'xn--e1afmkfd.xn--p1ai'],
    ['OK6', 'a.b.c.d.e.example', 'a.b.c.d.e.example'],
    ['a URL', 'https://id.example.com/', 'id.example.com'],
    ['a URL in upper case', 'HTTPS://ID.example.com:8448///', 'id.example.com:8448'],
    ['the default port, which is signed to as it is given', 'example.org:443', 'example.org:443'],
    ['the longest label', `${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
    ['the longest name', `${'a.'.repeat(123)}example:8448`, `${'a.'.repeat(123)}example:8448`],
  ])('%s: %s is %s', (_id, text, host) => {
    expect(parsePublicHost(text, [])).toBe(host);
  });

  test.each([
    ['example.org', 443],
    ['example.org:443', 443],
    ['example.org:8448', 8448],
  ])('%s is connected to at its public address', async (host, port) => {
    const { asked, resolve } = createResolver([NOBODY]);
    const send = createPublicSend({ allowed: [], resolve });
    let failure: unknown;
    const use = await networkUseOf(async () => {
      failure = await send({ method: 'GET', url: `https://${host}/x`, timeoutMs: 1000 }).catch((error) => error);
    });
    expect(['unreachable', 'timed_out']).toContain((failure as { fault: string }).fault);
    expect(use).toEqual({ lookups: [], connections: [`${NOBODY} ${port}`] });
    expect(asked).toEqual(['example.org']);
  });

  test('is asked of DNS itself, and of nothing else of this machine', async () => {
    const send = createPublicSend({ allowed: [] });
    const request = { method: 'GET', url: 'https://nobody.example/', timeoutMs: 1000 } as const;
    const use = await networkUseOf(() => expect(send(request)).rejects.not.toMatchObject({ fault: 'forbidden' }));
    expect(use).toEqual({ lookups: ['dns', 'dns'], connections: [] });
  });

  test('is never reached without TLS', async () => {
    const { asked, resolve } = createResolver([NOBODY]);
    const send = createPublicSend({ allowed: ['localhost:8080'], resolve });
    for (const url of ['http://example.org/', 'http://localhost:8080/', 'ftp://example.org/', 'nonsense', '']) {
      await expect(send({ method: 'GET', url, timeoutMs: 5000 })).rejects.toMatchObject({ fault: 'forbidden' });
    }
    expect(asked).toEqual([]);
  });

  test('survives a URL as it is, and is found by our resolver alone', async () => {
    const piece = fc.constantFrom(
      ...[
        '0x7f',
        '127',
        '1',
        '.',
        '..',
        ':',
        '443',
        '8448',
        '-',
        'xn--',
        '[',
        ']',
        '::',
        '@',
        '%',
        '/',
        '\\',
        '?',
        '#',
      ],
      ...['a', 'B', 'example', 'org', 'localhost', '。', '①', '\t', '\u00ad', ' '],
    );
    const text = fc.oneof(
      fc.domain(),
      fc.tuple(fc.domain(), fc.constantFrom('', ':443', ':8448', '/', ':80')).map((parts) => parts.join('')),
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
      fc.webAuthority({ withIPv4: true, withIPv4Extended: true, withIPv6: true, withPort: true, withUserInfo: true }),
      fc.string({ unit: 'binary', maxLength: 20 }),
    );
    let accepted = 0;
    const use = await networkUseOf(() =>
      fc.assert(
        fc.asyncProperty(text, async (candidate) => {
          const host = parsePublicHost(candidate, []);
          if (host === undefined) return;
          accepted += 1;
          const url = new URL(`https://${host}/x?y`);
          expect(url.href).toBe(`https://${host.replace(/:443$/, '')}/x?y`);
          expect(parsePublicHost(host, [])).toBe(host);
          const { asked, resolve } = createResolver(['10.0.0.1']);
          const send = createPublicSend({ allowed: [], resolve });
          await expect(send({ method: 'GET', url: `https://${host}/`, timeoutMs: 5000 })).rejects.toMatchObject({
            fault: 'forbidden',
          });
          expect(asked).toEqual([url.hostname]);
        }),
        { numRuns: 1000 },
      ),
    );
    expect(use).toEqual(NOTHING);
    expect(accepted).toBeGreaterThan(200);
  });
});

describe('what a host resolves to', () => {
  const send = async (resolve: (hostname: string, signal: AbortSignal) => Promise<readonly LookupAddress[]>) =>
    createPublicSend({ allowed: [], resolve })({ method: 'GET', url: 'https://evil.example/', timeoutMs: 5000 });

  test.each([
    ['D01 loopback', ['127.0.0.1']],
    ['D02 metadata', ['169.254.169.254']],
    ['D03 a private address behind a public one', [NOBODY, '10.0.0.1']],
    ['D03 a private address before a public one', ['10.0.0.1', NOBODY]],
    ['D05 loopback, by way of another name', ['127.0.0.1', '::1']],
    ['D06 IPv4 that is mapped', ['::ffff:7f00:1']],
    ['D07 IPv4 behind NAT64', ['64:ff9b::a9fe:a9fe']],
    ['D08 IPv4 behind 6to4', ['2002:7f00:1::']],
    ['D13 200 addresses, the last of them private', [...Array.from({ length: 199 }, () => NOBODY), '192.168.0.1']],
    ['D14 any address', ['0.0.0.0']],
    ['D15 benchmarking', ['198.19.0.1']],
    ['D16 a zone', ['fe80::1%eth0']],
    ['D16 a zone of a public address', [`${NOBODY}%eth0`]],
    ['D18 a private address of IPv6 alone', ['fd00::1']],
    ['no address', ['evil.example']],
  ])('%s is refused after one lookup, without a socket', async (_title, addresses) => {
    const { asked, resolve } = createResolver(addresses);
    expect(await networkUseOf(() => expect(send(resolve)).rejects.toMatchObject({ fault: 'forbidden' }))).toEqual(
      NOTHING,
    );
    expect(asked).toEqual(['evil.example']);
  });

  test('D04 a host that is public at first, then private, is looked up but once', async () => {
    const { asked, resolve } = createResolver([NOBODY], ['127.0.0.1']);
    const call = createPublicSend({ allowed: [], resolve });
    const request = { method: 'GET', url: 'https://evil.example/', timeoutMs: 1000 } as const;
    const use = await networkUseOf(() => expect(call(request)).rejects.not.toMatchObject({ fault: 'forbidden' }));
    expect(use).toEqual({ lookups: [], connections: [`${NOBODY} 443`] });
    expect(asked).toEqual(['evil.example']);
  });

  test('D17 a host that turns private between two calls is refused at the second', async () => {
    const { asked, resolve } = createResolver([NOBODY], ['127.0.0.1']);
    const call = createPublicSend({ allowed: [], resolve });
    const request = { method: 'GET', url: 'https://evil.example/', timeoutMs: 1000 } as const;
    await expect(call(request)).rejects.not.toMatchObject({ fault: 'forbidden' });
    const second = () => expect(call(request)).rejects.toMatchObject({ fault: 'forbidden' });
    expect(await networkUseOf(second)).toEqual(NOTHING);
    expect(asked).toEqual(['evil.example', 'evil.example']);
  });

  test('D09 nothing at all is unreachable', async () => {
    await expect(send(createResolver([]).resolve)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test.each([
    ['D10', 'ENOTFOUND'],
    ['D11', 'ESERVFAIL'],
  ])('%s a resolver that fails with %s makes it unreachable', async (_id, code) => {
    const resolve = () => Promise.reject(Object.assign(new Error('no'), { code }));
    await expect(send(resolve)).rejects.toMatchObject({ fault: 'unreachable', code: 'temporarily_unavailable' });
  });

  test('D12 a resolver that does not answer counts to the time of the call, and is told', async () => {
    let ended: AbortSignal | undefined;
    const call = createPublicSend({
      allowed: [],
      resolve: (_hostname, signal) => {
        ended = signal;
        return new Promise(() => {});
      },
    });
    const request = { method: 'GET', url: 'https://evil.example/', timeoutMs: 50 } as const;
    await expect(call(request)).rejects.toMatchObject({ fault: 'timed_out' });
    expect(ended?.aborted).toBe(true);
  });
});

describe('an allowed host', () => {
  const allowed = ['localhost:8448', 'is.internal:8443', '127.0.0.1:8448', '[::1]:8448', 'is.corp'];

  test.each([
    ...allowed.map((host) => [host, host]),
    ['https://IS.internal:8443/', 'is.internal:8443'],
    ['https://[::1]:8448/', '[::1]:8448'],
  ])('%s is accepted as %s', (text, host) => {
    expect(parsePublicHost(text, allowed)).toBe(host);
  });

  test.each([
    ...['localhost', 'localhost:8449', 'is.internal', 'is.internal:443', 'a.is.internal:8443', '127.0.0.1'],
    ...['127.1:8448', '[0:0:0:0:0:0:0:1]:8448', 'is.corp:443', 'is.corp.', 'user@is.corp'],
  ])('is not accepted in another spelling or at another port: %s', (text) => {
    expect(parsePublicHost(text, allowed)).toBeUndefined();
  });

  test.each(['a_b.internal', '127.1', 'is.internal:0', 'is.internal/x', ''])(
    'is nothing that the grammar refuses: %j',
    (text) => {
      expect(parsePublicHost(text, [text])).toBeUndefined();
    },
  );
});

describe('the setting of allowed hosts', () => {
  test.each([
    ['', []],
    ['is.internal:8443', ['is.internal:8443']],
    [
      ' IS.internal:8443, https://localhost:8448/ ,127.0.0.1,[::1]:8448,',
      ['is.internal:8443', 'localhost:8448', '127.0.0.1', '[::1]:8448'],
    ],
  ])('%j is read', (text, hosts) => {
    expect(AllowedHosts.parse(text)).toEqual(hosts);
  });

  test.each([
    '*',
    '*.internal',
    '10.0.0.0/8',
    'is.internal:0',
    'is.internal:99999',
    '127.1',
    '[::0:1]',
    'a b',
    'is.internal;x',
  ])('%j is refused without being quoted', (text) => {
    const messages = AllowedHosts.safeParse(text).error?.issues.map(({ message }) => message);
    expect(messages).toEqual(['must be hosts such as is.internal:8443, separated by commas']);
  });
});
