/** What docs/performance.md says of many calls at once, on the limits of functions.yaml. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { readFunctionsFile } from '#scripts/emulator/functions-file.ts';
import { type Changes, type EmulatedProject, startProject, UNUSED_URLS } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';

/** Calls at once that are all answered, also when no instance runs yet. */
const BURST = 500;

/** The calls at once that the platform allows by default, in one zone and for all functions. */
const DEFAULT_QUOTA = 10;

const VALUES = {
  ...UNUSED_URLS,
  ...{ DATA_DIR: '/nowhere', AUTH_URL: 'http://localhost:9', DEVELOPMENT_PEPPERS: '', DEVELOPMENT_KEYS: '' },
};

async function start(changes: Changes = {}): Promise<EmulatedProject> {
  const project = await startProject({ timeout: 60, ...changes });
  onTestFinished(() => project.close());
  return project;
}

/** So many unlinks at once, each of a token of its own. */
const unlinks = (project: EmulatedProject, calls: number) =>
  Array.from({ length: calls }, async (_, index) => {
    const { status } = await project.raw('smart-home-unlink', {
      headers: { request_id: `burst-${index}`, authorization: `Bearer burst-${index}` },
      request_type: 'unlink',
      api_version: 1,
    });
    return status;
  });

describe('unlinks at once, from cold', () => {
  test(`${BURST} are all answered, and durable`, async () => {
    const project = await start();

    const statuses = await Promise.all(unlinks(project, BURST));

    expect(statuses).toEqual(Array(BURST).fill(200));
    expect(project.countRows()).toBe(BURST);
  });

  test('one more than may run and wait is a 429, and the others are answered', async () => {
    const { promise: isRefused, resolve: release } = Promise.withResolvers<void>();
    const endpoint = await startHttpServer(async (_request, response) => {
      await isRefused;
      response.end('{"active":false}');
    });
    const introspection = { endpoint, client_id: 'us', client_secret: 's' };
    const ISSUERS = JSON.stringify([{ issuer: 'https://auth.example', introspection }]);
    const project = await start({ local: { ISSUERS, UNVERIFIED_TOKENS: null } });

    const answers = unlinks(project, BURST + 1);
    // The issuer holds all that run, so none but the one that is refused is answered.
    expect(await Promise.race(answers)).toBe(429);
    release();

    const statuses = await Promise.all(answers);
    expect(statuses.filter((status) => status === 429)).toHaveLength(1);
    expect(statuses.filter((status) => status === 200)).toHaveLength(BURST);
  });
});

describe('functions.yaml', () => {
  const functions = readFunctionsFile('infra/functions.yaml', VALUES);

  test('lets the calls of a burst run and wait', () => {
    expect(functions.filter(({ requests }) => requests < BURST)).toEqual([]);
  });

  test('asks for no more calls in an instance than the default quota allows, or a version is refused', () => {
    expect(functions.filter(({ concurrency }) => concurrency > DEFAULT_QUOTA)).toEqual([]);
  });
});
