// The library of certificates needs it loaded first.
import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import {
  type AddressInfo,
  createServer as createTcpServer,
  getDefaultAutoSelectFamily,
  type Server,
  type Socket,
  setDefaultAutoSelectFamily,
} from 'node:net';
import tls, { connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { X509CertificateGenerator } from '@peculiar/x509';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Certificates, createCertificateAuthority } from '#scripts/matrix/certificates.ts';
import { jsonObjectOf } from '#shared/outgoing/json.ts';
import { createPublicSend } from '#shared/outgoing/public-host.ts';
import type { OutgoingRequest, Send } from '#shared/outgoing/send.ts';
import { networkUseOf } from '#test/support/network-use.ts';

const NAME = 'id.example.com';
const authority = await createCertificateAuthority();
const trusted = await authority.issue([NAME]);

const at = (...addresses: string[]) =>
  Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));

/** A server of one test, and how to call it. */
interface TestServer {
  readonly port: number;
  /** The requests that got through to it. */
  readonly requests: readonly string[];
  readonly call: (options?: Partial<OutgoingRequest>) => ReturnType<Send>;
}

interface TestServerOptions extends TlsOptions {
  readonly shows?: Certificates;
  /** What the caller trusts besides what Node does, if anything. */
  readonly trusts?: string | null;
}

/** Starts a server that does with a connection what it likes, once a request is there. */
async function startServer(
  misbehave: (socket: TLSSocket, connection: Socket) => void,
  { shows = trusted, trusts = authority.ca, ...options }: TestServerOptions = {},
): Promise<TestServer> {
  const requests: string[] = [];
  const connections: Socket[] = [];
  const server = createServer({ ...options, cert: shows.certificate, key: shows.key }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', (request) => {
      requests.push(request.toString());
      misbehave(socket, connections[requests.length - 1] ?? socket);
    });
  });
  server.on('tlsClientError', () => {});
  const port = await listen(server, connections);
  return { port, requests, call: callerOf(port, trusts) };
}

/** Starts a server that accepts connections, and says nothing. */
async function startSilentServer(): Promise<Pick<TestServer, 'call'>> {
  return { call: callerOf(await listen(createTcpServer(), []), authority.ca) };
}

async function listen(server: Server, connections: Socket[]): Promise<number> {
  server.on('connection', (connection: Socket) => connections.push(connection));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const connection of connections) connection.destroy();
    server.close();
  });
  // It listens on a port, not on a pipe.
  return (server.address() as AddressInfo).port;
}

function callerOf(port: number, certificates: string | null): TestServer['call'] {
  const host = `${NAME}:${port}`;
  const send = createPublicSend({
    allowed: [host],
    certificates: certificates ?? undefined,
    resolve: () => at('127.0.0.1'),
  });
  return (options) => send({ method: 'POST', url: `https://${host}/unbind`, timeoutMs: 5000, ...options });
}

const answerWith = (answer: string | Buffer) => (socket: TLSSocket) => void socket.end(answer);
const OK = 'HTTP/1.1 200 OK\r\n';

test('a request reaches the address that was found, under the name and nothing but what was asked for', async () => {
  const { requests, call, port } = await startServer(answerWith(`${OK}Content-Length: 2\r\n\r\n{}`));
  const use = await networkUseOf(async () => {
    const { status, body } = await call({ body: '{"a":1}', headers: { Authorization: 'X-Matrix x' } });
    expect([status, body.toString()]).toEqual([200, '{}']);
  });
  expect(use).toEqual({ lookups: [], connections: [`127.0.0.1 ${port}`] });
  expect(requests.map((request) => request.split('\r\n'))).toEqual([
    [
      'POST /unbind HTTP/1.1',
      'Accept-Encoding: identity',
      'Content-Length: 7',
      'Authorization: X-Matrix x',
      `Host: ${NAME}:${port}`,
      'Connection: close',
      '',
      '{"a":1}',
    ],
  ]);
});

describe('what was found is all that is connected to', () => {
  const start = () => startServer(answerWith(`${OK}Content-Length: 2\r\n\r\n{}`));
  const get = (port: number, resolve: () => ReturnType<typeof at>, host = `${NAME}:${port}`) =>
    createPublicSend({ allowed: [host], certificates: authority.ca, resolve })({
      method: 'GET',
      url: `https://${host}/`,
      timeoutMs: 5000,
    });

  test('each address in turn, until one answers', async () => {
    const { port } = await start();
    const use = await networkUseOf(() => get(port, () => at('127.0.0.2', '127.0.0.1', '127.0.0.3')));
    expect(use).toEqual({ lookups: [], connections: [`127.0.0.2 ${port}`, `127.0.0.1 ${port}`] });
  });

  test('the first address, where Node tries no other', async () => {
    const { port } = await start();
    const isDefault = getDefaultAutoSelectFamily();
    setDefaultAutoSelectFamily(false);
    onTestFinished(() => setDefaultAutoSelectFamily(isDefault));
    const use = await networkUseOf(() => get(port, () => at('127.0.0.1', '127.0.0.2')));
    expect(use).toEqual({ lookups: [], connections: [`127.0.0.1 ${port}`] });
  });

  test('an allowed address is not looked up, and its certificate is for the address', async () => {
    const shows = await authority.issue(['127.0.0.1']);
    const { port } = await startServer(answerWith(`${OK}Content-Length: 2\r\n\r\n{}`), { shows });
    const never = () => Promise.reject(new Error('looked up'));
    const use = await networkUseOf(() => get(port, never, `127.0.0.1:${port}`));
    expect(use).toEqual({ lookups: [], connections: [`127.0.0.1 ${port}`] });

    const { port: namedPort } = await start();
    await expect(get(namedPort, never, `127.0.0.1:${namedPort}`)).rejects.toMatchObject({ fault: 'tls' });
  });

  test('an allowed name is found where this machine looks', async () => {
    const shows = await authority.issue(['localhost']);
    const { port } = await startServer(answerWith(`${OK}Content-Length: 2\r\n\r\n{}`), { shows });
    const send = createPublicSend({ allowed: [`localhost:${port}`], certificates: authority.ca });
    const use = await networkUseOf(() => send({ method: 'GET', url: `https://localhost:${port}/`, timeoutMs: 5000 }));
    expect(use.lookups).toEqual(['system']);
  });
});

describe('a certificate is verified, of an allowed host and whatever the environment says', () => {
  test.each(['0', undefined])('NODE_TLS_REJECT_UNAUTHORIZED=%s', async (setting) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', setting);
    const flawed: [string, TestServerOptions][] = [
      ['V15 self-signed', { shows: await authority.issue([NAME], 'self-signed') }],
      ['V16 expired', { shows: await authority.issue([NAME], 'expired') }],
      ['V17 for another name', { shows: await authority.issue(['other.example.com', 'example.com']) }],
      ['V17 for the address', { shows: await authority.issue(['127.0.0.1']) }],
      ['of an authority that is not trusted', { trusts: null }],
      ['of another authority', { trusts: (await createCertificateAuthority()).ca }],
    ];
    for (const [title, options] of flawed) {
      const { requests, call } = await startServer(answerWith(`${OK}\r\n`), options);
      await expect(call(), title).rejects.toMatchObject({ fault: 'tls' });
      expect(requests, title).toEqual([]);
    }
  });

  test('V18 with TLS 1.0 and 1.1 alone, even where Node is told to take them', async () => {
    const { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS } = tls;
    Object.assign(tls, { DEFAULT_MIN_VERSION: 'TLSv1', DEFAULT_CIPHERS: 'DEFAULT:@SECLEVEL=0' });
    onTestFinished(() => void Object.assign(tls, { DEFAULT_MIN_VERSION, DEFAULT_CIPHERS }));
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    const { port, requests, call } = await startServer(answerWith(`${OK}\r\n`), old);
    const client = connect({ ...old, port, host: '127.0.0.1', servername: NAME, ca: authority.ca });
    await once(client, 'secureConnect');
    expect(client.getProtocol()).toBe('TLSv1.1');
    client.destroy();

    await expect(call()).rejects.toMatchObject({ fault: 'tls' });
    expect(requests).toEqual([]);
  });

  test('further authorities are trusted beside those that Node comes with', async () => {
    const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
    const forged = await X509CertificateGenerator.create({
      subject: `CN=${NAME}`,
      issuer: 'C=US, O=Internet Security Research Group, CN=ISRG Root X2',
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    });
    const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString();
    const { call } = await startServer(answerWith(`${OK}\r\n`), {
      shows: { ca: authority.ca, certificate: forged.toString('pem'), key },
      // Else the server, which knows the authority too, would send its certificate along.
      ca: authority.ca,
    });
    // Who does not know the authority could not tell that it did not sign.
    await expect(call()).rejects.toMatchObject({ fault: 'tls', cause: { code: 'CERT_SIGNATURE_FAILURE' } });
  });

  test.each(['', 'nonsense', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])(
    'further authorities that are none are a wrong setting, not silence: %j',
    async (trusts) => {
      const { call } = await startServer(answerWith(`${OK}\r\n`), { trusts });
      await expect(call()).rejects.toMatchObject({ code: 'misconfigured' });
    },
  );
});

describe('a redirect is not followed', () => {
  test.each([
    ['V01', 301],
    ['V02', 302],
    ['V03', 307],
    ['V04', 308],
    ['V01', 303],
  ])('%s: %i to metadata', async (_id, status) => {
    const location = 'Location: https://169.254.169.254/latest/meta-data/\r\n';
    const { port, call } = await startServer(answerWith(`HTTP/1.1 ${status} Moved\r\n${location}\r\n`));
    const use = await networkUseOf(() => expect(call()).rejects.toMatchObject({ fault: 'redirected' }));
    expect(use).toEqual({ lookups: [], connections: [`127.0.0.1 ${port}`] });
  });

  test('V05: to itself', async () => {
    const { requests, call } = await startServer(answerWith('HTTP/1.1 302 Found\r\nLocation: /unbind\r\n\r\n'));
    await expect(call()).rejects.toMatchObject({ fault: 'redirected' });
    expect(requests).toHaveLength(1);
  });
});

describe('an answer is of bounded size', () => {
  test('V06 a stream of 1 GB is cut off', async () => {
    let written = 0;
    const { call } = await startServer((socket) => {
      const chunk = Buffer.alloc(16_384);
      const write = () => {
        while (!socket.destroyed && written < 2 ** 30 && socket.write(chunk)) written += chunk.length;
      };
      socket.on('drain', write);
      socket.write(`${OK}Content-Length: ${2 ** 30}\r\n\r\n`);
      write();
    });
    await expect(call()).rejects.toMatchObject({ fault: 'too_large' });
    expect(written).toBeLessThan(50_000_000);
  });

  test('so is one whose chunks are 16 KB of extensions each, and a byte', async () => {
    let written = 0;
    const { call } = await startServer((socket) => {
      const chunk = Buffer.from(`1;${'x'.repeat(16_000)}\r\n \r\n`);
      const write = () => {
        while (!socket.destroyed && written < 2 ** 30 && socket.write(chunk)) written += chunk.length;
      };
      socket.on('drain', write);
      socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n`);
      write();
    });
    await expect(call({ timeoutMs: 60_000 })).rejects.toMatchObject({ fault: 'too_large' });
    expect(written).toBeLessThan(50_000_000);
  });

  test('a body of one byte a chunk is taken whole', async () => {
    const body = '1\r\nx\r\n'.repeat(65_536);
    const { call } = await startServer(answerWith(`${OK}Transfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n`));
    expect((await call()).body).toHaveLength(65_536);
  });

  test.each([65_536, 65_537])('of %i bytes, 64 KB at most are taken', async (length) => {
    const { call } = await startServer(answerWith(`${OK}Content-Length: ${length}\r\n\r\n${'x'.repeat(length)}`));
    if (length === 65_536) expect((await call()).body).toHaveLength(length);
    else await expect(call()).rejects.toMatchObject({ fault: 'too_large' });
  });

  test('V07 what is compressed, though it was asked not to be, is too large when it decodes to 20 MB', async () => {
    const bomb = gzipSync(Buffer.alloc(20_000_000));
    const head = `${OK}Content-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`;
    const { call } = await startServer(answerWith(Buffer.concat([Buffer.from(head), bomb])));
    await expect(call()).rejects.toMatchObject({ fault: 'too_large' });
  });

  test('V10 64 KB of headers are too many', async () => {
    const { call } = await startServer(answerWith(`${OK}X-Long: ${'x'.repeat(65_536)}\r\n\r\n`));
    await expect(call()).rejects.toMatchObject({ fault: 'malformed' });
  });

  test.each([100, 103])('V11 10,000 answers with %i before the answer are too many', async (status) => {
    const { call } = await startServer((socket) => {
      socket.write(`HTTP/1.1 ${status} Wait\r\n\r\n`.repeat(10_000));
      socket.end(`${OK}Content-Length: 2\r\n\r\n{}`);
    });
    await expect(call()).rejects.toMatchObject({ fault: 'too_large' });
  });

  test('a few answers before the answer are as good as none', async () => {
    const early = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(16);
    const { call } = await startServer(answerWith(`${early}${OK}Content-Length: 2\r\n\r\n{}`));
    expect((await call()).body.toString()).toBe('{}');
  });
});

describe('a call ends in time', () => {
  /** Writes the text again and again, until nobody listens. */
  const drip = (socket: TLSSocket, text: string) => {
    const timer = setInterval(() => socket.write(text), 5);
    socket.on('close', () => clearInterval(timer));
  };

  test('V08 though headers drip', async () => {
    const { requests, call } = await startServer((socket) => {
      socket.write(`${OK}X-Drip: `);
      drip(socket, 'x');
    });
    await expect(call({ timeoutMs: 1000 })).rejects.toMatchObject({ fault: 'timed_out' });
    expect(requests).toHaveLength(1);
  });

  test('V09 though the body drips', async () => {
    const { requests, call } = await startServer((socket) => {
      socket.write(`${OK}Content-Length: 60000\r\n\r\n`);
      drip(socket, 'x');
    });
    await expect(call({ timeoutMs: 1000 })).rejects.toMatchObject({ fault: 'timed_out' });
    expect(requests).toHaveLength(1);
  });

  test('V20 though no answer comes', async () => {
    const { requests, call } = await startServer(() => {});
    await expect(call({ timeoutMs: 1000 })).rejects.toMatchObject({ fault: 'timed_out' });
    expect(requests).toHaveLength(1);
  });

  // The limits of the stages are fixed: without them, this would wait for a minute.
  test('long before its deadline when nobody agrees on TLS, and when the headers drip', async () => {
    const silent = await startSilentServer();
    const dripping = await startServer((socket) => {
      socket.write(`${OK}X-Drip: `);
      drip(socket, 'x');
    });
    const ends: unknown[] = [];
    const end = async (title: string, { call }: Pick<TestServer, 'call'>) => {
      await expect(call({ timeoutMs: 60_000 })).rejects.toMatchObject({ fault: 'timed_out' });
      ends.push(title);
    };
    await Promise.all([end('dripping', dripping), end('silent', silent)]);
    // To connect there is less time than to answer.
    expect(ends).toEqual(['silent', 'dripping']);
    expect(dripping.requests).toHaveLength(1);
  });
});

describe('an answer that is none is a failure', () => {
  test.each([
    ['V12 less than its Content-Length', `${OK}Content-Length: 100\r\n\r\n{}`, 'unreachable'],
    ['V12 two Content-Lengths', `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 'malformed'],
    ['V12 a negative Content-Length', `${OK}Content-Length: -1\r\n\r\n{}`, 'malformed'],
    ['V12 a length in two ways', `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'malformed'],
    ['a chunk that does not end', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\n{}`, 'unreachable'],
    ['another protocol', 'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', 'unreachable'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', 'malformed'],
    ['nothing', '', 'unreachable'],
  ])('%s', async (_title, answer, fault) => {
    const { call } = await startServer(answerWith(answer));
    await expect(call()).rejects.toMatchObject({ fault });
  });

  test('V19 a connection that is reset in the middle of the body', async () => {
    const { call } = await startServer((socket, connection) => {
      socket.write(`${OK}Content-Length: 100\r\n\r\n{}`, () => connection.resetAndDestroy());
    });
    await expect(call()).rejects.toMatchObject({ fault: 'unreachable' });
  });
});

describe('an answer is handed over as it is', () => {
  test('V12 more than its Content-Length is cut there', async () => {
    const { call } = await startServer(answerWith(`${OK}Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n`));
    expect((await call()).body.toString()).toBe('{}');
  });

  test.each([
    ['V13 what is no JSON', 'application/json', '{"a":'],
    ['V14 a page', 'text/html', '<!doctype html>'],
  ])('%s, for who reads it to refuse', async (_title, type, text) => {
    const { call } = await startServer(
      answerWith(`${OK}Content-Type: ${type}\r\nContent-Length: ${text.length}\r\n\r\n${text}`),
    );
    const response = await call();
    expect([response.status, response.headers['content-type'], response.body.toString()]).toEqual([200, type, text]);
    expect(() => jsonObjectOf(response)).toThrow('malformed');
  });

  test.each([400, 401, 403, 404, 429, 500, 501, 503])('V22 %i, with its headers and body', async (status) => {
    const text = '{"errcode":"M_FORBIDDEN"}';
    const { call } = await startServer(
      answerWith(`HTTP/1.1 ${status} No\r\nRetry-After: 7\r\nContent-Length: ${text.length}\r\n\r\n${text}`),
    );
    const { headers, body, ...rest } = await call();
    expect([rest.status, headers['retry-after'], body.toString()]).toEqual([status, '7', text]);
  });

  test('V21 a cookie is not sent back', async () => {
    const { requests, call } = await startServer(
      answerWith(`${OK}Set-Cookie: a=b; Path=/; Secure\r\nContent-Length: 2\r\n\r\n{}`),
    );
    await call();
    await call();
    expect(requests).toHaveLength(2);
    expect(requests.join('')).not.toMatch(/cookie/i);
  });
});
