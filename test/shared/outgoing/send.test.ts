import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createNamedSend } from '#shared/outgoing/named-host.ts';
import { send } from '#shared/outgoing/send.ts';
import { BROKEN_CODINGS, CONTENT_CODINGS, DECOMPRESSION_BOMBS } from '#test/support/content-codings.ts';
import { HOSTILE_HOSTS } from '#test/support/hostile-hosts.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { networkUseOf } from '#test/support/network-use.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const get = (url: string, options: { timeoutMs?: number; maxBytes?: number; keepsCodings?: boolean } = {}) =>
  send({ method: 'GET', url, timeoutMs: 5000, ...options });

test('an answer is returned whatever its status, with its body', async () => {
  const url = await startHttpServer((request, response) => {
    response.statusCode = 418;
    response.setHeader('X-Method', request.method ?? '');
    request.pipe(response);
  });
  const { status, headers, body } = await send({ method: 'POST', url, body: 'тело', timeoutMs: 5000 });
  expect({ status, method: headers['x-method'], body: body.toString() }).toEqual({
    status: 418,
    method: 'POST',
    body: 'тело',
  });
});

test.each([undefined, '{"access_token":"a"}'])('a deletion is sent as one, with the body %j', async (body) => {
  const url = await startHttpServer((request, response) => {
    response.setHeader('X-Method', request.method ?? '');
    response.setHeader('X-Length', request.headers['content-length'] ?? 'none');
    request.pipe(response);
  });
  const { headers, body: echo } = await send({ method: 'DELETE', url, timeoutMs: 5000, ...(body && { body }) });
  expect([headers['x-method'], headers['x-length'], echo.toString()]).toEqual([
    'DELETE',
    body === undefined ? 'none' : `${body.length}`,
    body ?? '',
  ]);
});

test('nothing but what was asked for is sent: no cookies, no encoding to undo', async () => {
  const url = await startHttpServer((request, response) => response.end(JSON.stringify(request.headers)));
  const { body } = await send({ method: 'GET', url, headers: { Accept: 'x/y' }, timeoutMs: 5000 });
  expect(JSON.parse(body.toString())).toEqual({
    accept: 'x/y',
    'accept-encoding': 'identity',
    connection: 'close',
    host: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
  });
});

test('an answer says which address it came from', async () => {
  const url = await startHttpServer((_request, response) => response.end('{}'));
  expect((await get(url)).address).toBe('127.0.0.1');
});

describe('a URL that a remote document names', () => {
  /** Of a range that nobody has been given: public, and nobody is there. */
  const nobody = '3000::1';
  const at =
    (...addresses: string[]) =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  const getNamed = (url: string, resolve = at('127.0.0.1')) =>
    createNamedSend(resolve)({ method: 'GET', url, timeoutMs: 1000, isPublicOnly: true });

  test('leads to public addresses alone, those that were checked', async () => {
    const use = await networkUseOf(() =>
      expect(getNamed('https://login.example:8443/token', at(nobody))).rejects.not.toMatchObject({
        fault: 'forbidden',
      }),
    );
    expect(use).toEqual({ lookups: [], connections: [`${nobody} 8443`] });
  });

  test('may be a public address itself', async () => {
    const use = await networkUseOf(() =>
      expect(getNamed(`https://[${nobody}]/token`)).rejects.not.toMatchObject({ fault: 'forbidden' }),
    );
    expect(use).toEqual({ lookups: [], connections: [`${nobody} 443`] });
  });

  test.each([['127.0.0.1'], ['10.0.0.1'], ['169.254.169.254'], [nobody, '::1'], ['fd00::1', nobody]])(
    'does not lead to a name that resolves to %s',
    async (...addresses) => {
      const use = await networkUseOf(() =>
        expect(getNamed('https://login.example/token', at(...addresses))).rejects.toMatchObject({ fault: 'forbidden' }),
      );
      expect(use).toEqual({ lookups: [], connections: [] });
    },
  );

  test('is unreachable if its name has no address', async () => {
    await expect(getNamed('https://login.example/token', at())).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('does not lead to this machine by http', async () => {
    const url = await startHttpServer((_request, response) => response.end('{}'));
    await expect(getNamed(url)).rejects.toMatchObject({ fault: 'forbidden' });
  });

  test('is called by none but who asks for it', async () => {
    const request = { method: 'GET', url: 'https://1.1.1.1/', timeoutMs: 1000, isPublicOnly: true } as const;
    const use = await networkUseOf(() => expect(send(request)).rejects.toMatchObject({ fault: 'forbidden' }));
    expect(use.connections).toEqual([]);
  });

  const hostile = HOSTILE_HOSTS.filter(([, text]) => URL.canParse(`https://${text}/x`));
  test.each(hostile.map(([id, text]) => [id, JSON.stringify(text).slice(0, 40), text] as const))(
    '%s does not lead to %s',
    async (_id, _shown, text) => {
      const use = await networkUseOf(() =>
        expect(getNamed(`https://${text}/x`)).rejects.toMatchObject({ fault: 'forbidden' }),
      );
      expect(use).toEqual({ lookups: [], connections: [] });
    },
  );
});

test('the proxy of the environment is not used', async () => {
  const url = await startHttpServer((_request, response) => response.end('direct'));
  vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:9').stubEnv('http_proxy', 'http://127.0.0.1:9');
  expect((await get(url)).body.toString()).toBe('direct');
});

test('a call that its caller aborts ends at once, and so does its connection', async () => {
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const url = await startHttpServer((_request, response) => {
    response.on('close', close);
    arrive();
  });
  const controller = new AbortController();
  const answer = send({ method: 'GET', url, timeoutMs: 60_000, signal: controller.signal });
  const failure = expect(answer).rejects.toMatchObject({ fault: 'timed_out' });
  await arrived;

  controller.abort();

  await failure;
  await closed;
});

describe('an answer in a content coding that nobody asked for', () => {
  const coded = (coding: string, body: Buffer, status = 200) =>
    startHttpServer((_request, response) =>
      response.writeHead(status, { 'Content-Encoding': coding, 'Content-Type': 'text/plain' }).end(body),
    );

  test.each(CONTENT_CODINGS)('is decoded: %s', async (_name, coding, encode) => {
    const { headers, body } = await get(await coded(coding, encode(Buffer.from('тело'))));
    expect(body.toString()).toBe('тело');
    expect(headers).toMatchObject({ 'content-type': 'text/plain' });
    expect(headers['content-encoding'] ?? '').toBe('');
  });

  test('is decoded whatever its status', async () => {
    const { status, body } = await get(await coded('gzip', gzipSync('no'), 503));
    expect([status, body.toString()]).toEqual([503, 'no']);
  });

  test('is empty where it has no body', async () => {
    expect((await get(await coded('gzip', Buffer.alloc(0)))).body).toHaveLength(0);
    expect((await get(await coded('br', Buffer.alloc(0), 204))).body).toHaveLength(0);
  });

  test.each(BROKEN_CODINGS)('is malformed when the coding cannot be undone: %s', async (_name, coding, body) => {
    await expect(get(await coded(coding, body))).rejects.toMatchObject({
      fault: 'malformed',
      cause: { message: expect.not.stringMatching(/zstd|compress$/) },
    });
  });

  test('says which codings there may be', async () => {
    await expect(get(await coded('zstd', Buffer.from('x')))).rejects.toMatchObject({
      cause: { message: 'Content-Encoding must be up to 5 of gzip, deflate and br' },
    });
  });

  test.each(CONTENT_CODINGS)(
    'may have the cap of decoded bytes, and not one more: %s',
    async (_name, coding, encode) => {
      // It does not compress: coded, it is larger than the cap.
      const url = await coded(coding, encode(randomBytes(1000)));
      expect((await get(url, { maxBytes: 1000 })).body).toHaveLength(1000);
      await expect(get(url, { maxBytes: 999 })).rejects.toMatchObject({ fault: 'too_large' });
    },
  );

  test.each(DECOMPRESSION_BOMBS)('is too large when it decodes to 50 MB: %s', async (coding, bomb) => {
    await expect(get(await coded(coding, bomb))).rejects.toMatchObject({ fault: 'too_large' });
  });

  test('is stopped while it comes when it is far above the cap as it is', async () => {
    const noise = randomBytes(3_000_000);
    await expect(get(await coded('gzip', noise))).rejects.toMatchObject({ fault: 'too_large' });
  });

  test.each([...CONTENT_CODINGS, ...BROKEN_CODINGS])('stays as it is where that is asked for: %s', async (...row) => {
    const [, coding, encode] = row;
    const body = typeof encode === 'function' ? encode(Buffer.from('тело')) : encode;
    const answer = await get(await coded(coding, body), { keepsCodings: true, maxBytes: body.length });
    expect(answer.headers['content-encoding']).toBe(coding);
    expect(answer.body.equals(body)).toBe(true);
  });
});

describe('what gives no answer that can be used is one failure with its fault', () => {
  test.each([301, 302, 303, 307, 308])('a redirect (%i) is not followed', async (status) => {
    let calls = 0;
    const url = await startHttpServer((_request, response) => {
      calls += 1;
      response.writeHead(status, { Location: '/elsewhere' }).end();
    });
    await expect(get(url)).rejects.toMatchObject({ fault: 'redirected', code: 'temporarily_unavailable' });
    expect(calls).toBe(1);
  });

  test('an answer that never comes', async () => {
    const url = await startHttpServer(() => {});
    await expect(get(url, { timeoutMs: 50 })).rejects.toMatchObject({ fault: 'timed_out' });
  });

  test.each([0, -1])('a call for which no time is left (%j ms), which is not made', async (timeoutMs) => {
    let calls = 0;
    const url = await startHttpServer((_request, response) => {
      calls += 1;
      response.end();
    });
    await expect(get(url, { timeoutMs })).rejects.toMatchObject({ fault: 'timed_out' });
    // Behind it, so that it would have come by now.
    await get(url);
    expect(calls).toBe(1);
  });

  test('an answer whose body drips beyond the one deadline', async () => {
    const url = await startHttpServer((_request, response) => {
      const drip = setInterval(() => response.write('x'), 5);
      response.on('close', () => clearInterval(drip));
    });
    await expect(get(url, { timeoutMs: 100 })).rejects.toMatchObject({ fault: 'timed_out' });
  });

  test('an endless answer, stopped at the cap', async () => {
    let written = 0;
    const url = await startHttpServer((_request, response) => {
      const chunk = Buffer.alloc(16_384);
      const write = () => {
        while (!response.destroyed && response.write(chunk)) written += chunk.length;
      };
      response.on('drain', write);
      write();
    });
    await expect(get(url, { maxBytes: 1000 })).rejects.toMatchObject({ fault: 'too_large' });
    expect(written).toBeLessThan(50_000_000);
  });

  test('an answer of just the cap is not too large, one byte more is', async () => {
    const url = await startHttpServer((_request, response) => response.end('x'.repeat(1000)));
    expect((await get(url, { maxBytes: 1000 })).body).toHaveLength(1000);
    await expect(get(url, { maxBytes: 999 })).rejects.toMatchObject({ fault: 'too_large' });
  });

  test('a connection that is refused', async () => {
    await expect(get('http://127.0.0.1:9/')).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('a connection that is cut in the middle of the body', async () => {
    const url = await startHttpServer((_request, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('half', () => response.destroy());
    });
    await expect(get(url)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test.each(['0', undefined])(
    'a certificate that nobody vouches for, NODE_TLS_REJECT_UNAUTHORIZED=%s',
    async (setting) => {
      const folder = createTemporaryFolder();
      onTestFinished(folder.remove);
      const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')];
      const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert];
      execFileSync('openssl', [...request, '-days', '1', '-subj', '/CN=localhost'], { stdio: 'ignore' });
      const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) =>
        response.end(),
      );
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      onTestFinished(() => void server.close());
      vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', setting);
      const { port } = server.address() as { port: number };
      await expect(get(`https://localhost:${port}/`)).rejects.toMatchObject({ fault: 'tls' });
    },
  );

  test('something that is no HTTP', async () => {
    const server = createServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n\r\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    await expect(get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ fault: 'malformed' });
    await expect(get(`https://127.0.0.1:${port}/`)).rejects.toMatchObject({ fault: 'tls' });
  });

  test.each(['http://example.org/', 'http://10.0.0.1/', 'ftp://127.0.0.1/', 'file:///etc/passwd', 'nonsense', ''])(
    'no socket is opened to %j',
    async (url) => {
      await expect(get(url)).rejects.toMatchObject({ fault: 'forbidden' });
    },
  );
});
