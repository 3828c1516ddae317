import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as z from 'zod/mini';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { MatrixEnvironment, MatrixSigningEnvironment, openMatrixPorts } from '#shared/threepid/open-ports.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const SETTINGS = {
  STORE_URL: 'memory:',
  TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'p').toString('base64')}`,
  MATRIX_HOMESERVER_URL: 'https://homeserver.example.org/base//',
  MATRIX_SERVER_NAME: 'example.org',
};
const read = (more: object) => z.object(MatrixEnvironment).safeParse({ ...SETTINGS, ...more });
const open = (more: object = {}) =>
  openMatrixPorts(z.object(MatrixEnvironment).parse({ ...SETTINGS, ...more }), LOCAL_PLATFORM);

describe('the settings', () => {
  test.each([
    [{ MATRIX_SERVER_NAME: undefined }, "must be the homeserver's name, as in the ids of its users"],
    [{ MATRIX_SERVER_NAME: 'https://example.org' }, "must be the homeserver's name, as in the ids of its users"],
    [{ ALLOW_QUERY_TOKEN: '0' }, 'must be 1 or unset'],
    [{ MATRIX_HOMESERVER_URL: 'http://example.org' }, 'must be an https URL, or http to this machine'],
    [
      { TOKEN_PEPPERS: undefined },
      'must be set: name:base64 of 32 random bytes, the newest first, separated by commas',
    ],
    [{ ID_SERVER_ALLOW: 'a b' }, 'must be hosts such as is.internal:8443, separated by commas'],
  ])('refuse %j', (more, rule) => {
    const [variable] = Object.keys(more);

    expect(read(more).error?.issues).toMatchObject([{ path: [variable], message: rule }]);
  });

  test('of an unbind have the key of the homeserver', () => {
    const { error } = z.object(MatrixSigningEnvironment).safeParse({ MATRIX_SIGNING_KEY: 'x' });

    expect(error?.issues).toMatchObject([{ path: ['MATRIX_SIGNING_KEY'] }]);
  });
});

describe('the ports', () => {
  test('have the homeserver, without slashes at the end of its URL, and no token in the query', () => {
    const { homeserver, allowedServers } = open();

    expect(homeserver).toMatchObject({
      ...{ name: 'example.org', url: 'https://homeserver.example.org/base', allowsQueryToken: false },
    });
    expect(allowedServers).toEqual([]);
  });

  test('allow a token in the query where the settings say so', () => {
    expect(open({ ALLOW_QUERY_TOKEN: '1' }).homeserver.allowsQueryToken).toBe(true);
  });

  test('have a directory and a clock', async () => {
    const { threepids, now } = open();
    const ann = { mxid: '@ann:example.org', medium: 'email', address: 'ann@example.test' } as const;

    expect(await threepids.find(ann)).toEqual([]);
    expect(now).toBe(Date.now);
  });

  test('have the revocation store, apart from the directory where the settings say so', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const { revocations, threepids, peppers } = open({
      STORE_URL: `sqlite:${folder.path}/none`,
      DIRECTORY_URL: 'memory:',
    });
    const ann = { mxid: '@ann:example.org', medium: 'email', address: 'ann@example.test' } as const;

    expect(await threepids.find(ann)).toEqual([]);
    await expect(revocations.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] }, 10)).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    });
    expect(peppers.map(({ name }) => name)).toEqual(['k1']);
  });

  test('send to a private server that the settings allow, and to no other', async () => {
    const { sendToIdentityServer, allowedServers } = open({ ID_SERVER_ALLOW: '127.0.0.1:1' });
    const sendTo = (host: string) =>
      sendToIdentityServer({ method: 'GET', url: `https://${host}/`, timeoutMs: 5000 }).catch(
        ({ fault }: { fault: unknown }) => fault,
      );

    expect(allowedServers).toEqual(['127.0.0.1:1']);
    expect(await sendTo('127.0.0.1:1')).toBe('unreachable');
    expect(await sendTo('127.0.0.1:2')).toBe('forbidden');
  });

  test('do without a file of certificates that cannot be read, and say which setting names it', () => {
    expect(() => open({ ID_SERVER_CA_FILE: '/does/not/exist' })).toThrow(
      expect.objectContaining({
        ...{ code: 'misconfigured', message: 'ID_SERVER_CA_FILE must be a file that can be read' },
        cause: expect.objectContaining({ code: 'ENOENT' }),
      }),
    );
  });

  test('trust the certificates of the file, which must be some', () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const file = join(folder.path, 'ca.pem');
    writeFileSync(file, 'no certificate');

    expect(() => open({ ID_SERVER_ALLOW: '127.0.0.1:1', ID_SERVER_CA_FILE: file })).toThrow(
      expect.objectContaining({
        ...{ code: 'misconfigured', message: 'the file of ID_SERVER_CA_FILE must be certificates in PEM' },
      }),
    );
  });
});
