/** One identity server that is dead is no other's trouble, though calls share an instance of the function. */
import { createServer } from 'node:https';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { closeServer, findFreePort, listenOnLoopback } from '#scripts/authorization-server/listen.ts';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { type IdentityServer, startIdentityServer } from '#scripts/matrix/identity-server.ts';
import type { OwnedThreepid } from '#shared/threepid/threepid-binding.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';

const EMAIL = { medium: 'email', address: 'ann@example.test' } as const;
const SUCCESS = { status: 200, body: { id_server_unbind_result: 'success' } };
const USERS = 60;

/** A server that takes requests and answers none before it is told to. */
interface HeldServer {
  readonly name: string;
  /** Resolves once so many requests wait for their answers. */
  hold(count: number): Promise<void>;
  /** Unbinds all that is asked, from now on at once. */
  release(): void;
  close(): Promise<void>;
}

let certificates: Certificates;
/** They live, and verify signatures. */
let identities: readonly [IdentityServer, IdentityServer];
const homeserver = { url: '' };

beforeAll(async () => {
  certificates = await makeCertificates();
  const options = { port: 0, certificates, homeserverUrl: () => homeserver.url };
  identities = await Promise.all([startIdentityServer(options), startIdentityServer(options)]);
});
afterAll(() => Promise.all(identities.map((server) => server.close())));

async function startHeldServer(): Promise<HeldServer> {
  const answers: (() => void)[] = [];
  let isReleased = false;
  let onHeld = () => {};
  const http = createServer({ cert: certificates.certificate, key: certificates.key }, (_request, response) => {
    const answer = () => void response.end('{}');
    if (isReleased) return answer();
    answers.push(answer);
    onHeld();
  });
  const port = await listenOnLoopback(http, 0);
  return {
    name: `localhost:${port}`,
    hold: (count) =>
      new Promise((resolve) => {
        onHeld = () => {
          if (answers.length >= count) resolve();
        };
        onHeld();
      }),
    release() {
      isReleased = true;
      for (const answer of answers.splice(0)) answer();
    },
    close: () => closeServer(http),
  };
}

/** The functions, with a third server that may be named. */
async function start(third: string, timeout?: number): Promise<MatrixProject> {
  const names = [...identities.map(({ name }) => name), third];
  const matrix = await startMatrixProject(certificates, names, timeout === undefined ? {} : { timeout });
  onTestFinished(() => matrix.close());
  homeserver.url = matrix.homeserver.url;
  return matrix;
}

/** A user's call that names no server, where one is known. */
interface Call {
  readonly owned: OwnedThreepid;
  readonly idServer: string;
  readonly token: string;
}

/** A call of each of many users, who know the servers in turn. */
async function prepareCalls({ homeserver, remember }: MatrixProject, third: string): Promise<readonly Call[]> {
  const names = [third, ...identities.map(({ name }) => name)];
  const calls = Array.from({ length: USERS }, (_, index) => ({
    owned: { mxid: `@user${index}:${homeserver.serverName}`, ...EMAIL },
    idServer: names[index % names.length] ?? '',
    token: homeserver.accessToken(`user${index}`),
  }));
  for (const { owned, idServer } of calls) await remember(owned, [idServer]);
  return calls;
}

async function unbind({ post }: MatrixProject, token: string) {
  const { status, body } = await post('unbind', token, EMAIL);
  return { status, body: JSON.parse(body) };
}

describe('sixty calls at once, by as many users, who know three servers', () => {
  test('are all answered but those of the one that never answers; those are once it does', async () => {
    const dead = await startHeldServer();
    onTestFinished(() => dead.close());
    const matrix = await start(dead.name);
    const calls = await prepareCalls(matrix, dead.name);
    // Has the instances started: the dead server is given up after a few seconds, which are not for that.
    await Promise.all(calls.map(({ token }) => matrix.post('unbind', token, 'not JSON')));
    let answeredByDead = 0;

    const answers = calls.map(async ({ token, idServer }) => {
      const answer = await unbind(matrix, token);
      if (idServer === dead.name) answeredByDead += 1;
      return answer;
    });
    const ofLiving = await Promise.all(answers.filter((_, index) => calls[index]?.idServer !== dead.name));

    expect(ofLiving).toEqual(Array(40).fill(SUCCESS));
    expect(answeredByDead).toBe(0);
    // More than there may be instances: calls of the living have shared one with them.
    await dead.hold(20);
    dead.release();
    expect(await Promise.all(answers)).toEqual(Array(USERS).fill(SUCCESS));
    for (const { owned } of calls) expect(await matrix.known(owned)).toEqual([]);
  });

  test('are all answered but those of the one that refuses connections, which stay known', async () => {
    const dead = `localhost:${await findFreePort()}`;
    const matrix = await start(dead);
    const calls = await prepareCalls(matrix, dead);

    const answers = await Promise.all(calls.map(({ token }) => unbind(matrix, token)));

    for (const [index, { owned, idServer }] of calls.entries()) {
      const known = (await matrix.known(owned)).map((bind) => bind.idServer);
      expect(answers[index]).toMatchObject(idServer === dead ? { status: 502 } : SUCCESS);
      expect(known).toEqual(idServer === dead ? [dead] : []);
    }
  });
});

test('of three that one user knows, the two that live are forgotten at once; the dead one stays known', async () => {
  const dead = await startHeldServer();
  onTestFinished(() => dead.close());
  const matrix = await start(dead.name, 3);
  const ann = { mxid: `@ann:${matrix.homeserver.serverName}`, ...EMAIL };
  await matrix.remember(ann, [dead.name, ...identities.map(({ name }) => name)]);

  expect(await unbind(matrix, matrix.homeserver.accessToken('ann'))).toMatchObject({
    status: 504,
    body: { errcode: 'M_UNKNOWN' },
  });
  expect(await matrix.known(ann)).toMatchObject([{ idServer: dead.name }]);

  dead.release();
  expect(await unbind(matrix, matrix.homeserver.accessToken('ann'))).toEqual(SUCCESS);
  expect(await matrix.known(ann)).toEqual([]);
});
