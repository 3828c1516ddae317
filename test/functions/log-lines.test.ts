/** The log lines of a built function, as Powertools' Logger writes them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { startProject, TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const CALL = {
  headers: { request_id: 'r-1', authorization: 'Bearer 123qwe456a' },
  request_type: 'unlink',
  api_version: 1,
};

describe.each([
  ['AWS_LAMBDA_LOG_LEVEL', 'ERROR'],
  ['AWS_LAMBDA_MAX_CONCURRENCY', '8'],
  ['POWERTOOLS_DEV', 'true'],
  ['POWERTOOLS_LOGGER_LOG_EVENT', 'often'],
  ['POWERTOOLS_LOGGER_SAMPLE_RATE', 'much'],
])('with %s in the environment', (name, value) => {
  test('a function is misconfigured by that name: the line and the answer come out', async () => {
    const project = await startProject({ local: { [name]: value } });
    onTestFinished(() => project.close());

    for (let call = 0; call < 2; call += 1) {
      const { status, body } = await project.raw('smart-home-unlink', CALL);
      expect({ status, body: JSON.parse(body) }).toEqual({
        status: 502,
        body: { errorMessage: 'misconfigured', errorType: 'Failure', stackTrace: [] },
      });
      expect(project.takeLogLine()).toMatchObject({
        level: 'ERROR',
        message: 'smart-home-unlink: error',
        function: 'smart-home-unlink',
        request_id: 'r-1',
        code: 'misconfigured',
        error: { message: `${name} must not be set: it changes the lines of the log` },
      });
    }
    expect(project.countRows()).toBe(0);
  });
});

test.each([
  ['LOG_LEVEL', 'SILENT'],
  ['POWERTOOLS_LOG_LEVEL', 'SILENT'],
  ['POWERTOOLS_SERVICE_NAME', 'another'],
  ['TZ', 'Asia/Tokyo'],
])('%s=%s changes no line', async (name, value) => {
  const project = await startProject({ local: { [name]: value } });
  onTestFinished(() => project.close());
  expect((await project.raw('smart-home-unlink', CALL)).status).toBe(200);
  expect(project.takeLogLine()).toMatchObject({
    level: 'INFO',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    function: 'smart-home-unlink',
    outcome: 'ok',
  });
});

/** How many bytes of lines are read, at the least, and what a pipe holds while nobody reads. */
const ALL_BYTES = 1_000_000;
const PIPE_BYTES = 65_536;

test('no line of an acknowledged call is missing: its reader sleeps, 1 MB of lines, SIGKILL right behind an answer', async () => {
  const folder = createTemporaryFolder();
  const database = join(folder.path, 'unlink.sqlite');
  migrateSqlite(database);
  const child = fork(new URL('../support/calling-process.ts', import.meta.url), [], {
    env: {
      ...process.env,
      BUNDLE: join(inject('sqliteBundles'), 'smart-home-unlink/index.js'),
      STORE_URL: `sqlite:${database}`,
      TOKEN_PEPPERS: TEST_PEPPERS,
      UNVERIFIED_TOKENS: '1',
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
    folder.remove();
  });
  const { stdout } = child;
  if (stdout === null) throw new Error('the process has no standard output');

  // Nobody reads until the pipe must be full: whoever is killed then has lines that did not get out.
  const acknowledged: string[] = [];
  const lines: string[] = [];
  let bytes = 0;
  const isOver = new Promise<void>((resolve) => {
    child.on('message', (id) => {
      acknowledged.push(String(id));
      if (acknowledged.length === Math.ceil(PIPE_BYTES / LINE_BYTES)) {
        createInterface({ input: stdout }).on('line', (line) => {
          lines.push(line);
          bytes += line.length + 1;
        });
      }
      if (bytes < ALL_BYTES) return;
      child.kill('SIGKILL');
      resolve();
    });
  });
  const closed = once(stdout, 'close');
  await isOver;
  await closed;

  // The last one may be cut: that call was not acknowledged.
  const told = new Set(
    lines
      .slice(0, -1)
      .concat(whole(lines.at(-1)))
      .map((line) => JSON.parse(line).request_id),
  );
  expect(acknowledged.filter((id) => !told.has(id))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(1000);
});

/** A line has at least as many bytes. */
const LINE_BYTES = 600;

function whole(line: string | undefined): string[] {
  return line?.endsWith('}') ? [line] : [];
}
