import { renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { OLDER_STORE } from '#test/contract/token-revocation-store.ts';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';

const CALL = {
  headers: { request_id: 'fault-1', authorization: 'Bearer kept-alive?' },
  request_type: 'unlink',
  api_version: 1,
};

/** What the platform makes of an error that is thrown: the fixed code, and nothing else. */
const SANITIZED = { errorMessage: 'temporarily_unavailable', errorType: 'Failure', stackTrace: [] };

let project: EmulatedProject;

beforeEach(async () => {
  // One second: what is left after the margin is spent on trying again.
  project = await startProject({ timeout: 1 });
  onTestFinished(() => project.close());
});

const unlink = () => project.raw('smart-home-unlink', CALL);
const overGateway = () =>
  project.gateway('POST', '/v1.0/user/unlink', { Authorization: 'Bearer kept-alive?', 'X-Request-Id': 'fault-1' });

describe('the store is gone', () => {
  beforeEach(() => renameSync(project.database, `${project.database}.away`));

  test('raw: thrown without a detail, never a 200', async () => {
    const { status, headers, body } = await unlink();
    expect(status).toBe(502);
    expect(headers.get('x-function-error')).toBe('true');
    expect(JSON.parse(body)).toEqual(SANITIZED);
  });

  test('over the gateway: 503 with Retry-After', async () => {
    const { status, headers, body } = await overGateway();
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('1');
    expect(JSON.parse(body)).toMatchObject({ error: 'temporarily_unavailable' });
  });

  test('the ERROR line names the fault and carries the whole revocation, so that it can be rebuilt', async () => {
    await overGateway();
    expect(project.takeLogLine()).toMatchObject({
      level: 'ERROR',
      outcome: 'error',
      request_id: 'fault-1',
      code: 'temporarily_unavailable',
      error: { fault: 'unreachable', message: 'store: unreachable' },
      revocation: { token_ids: [expect.stringMatching(/^k1\./)], expires_at: expect.any(Number) },
    });
  });

  test('when it is back, the same instance revokes', async () => {
    await unlink();
    renameSync(`${project.database}.away`, project.database);
    expect((await unlink()).status).toBe(200);
    expect(project.countRows()).toBe(1);
  });
});

test('the store lost its schema: refused, and named in the log', async () => {
  const database = new DatabaseSync(project.database);
  database.exec('DELETE FROM schema_marker');
  database.close();
  expect(JSON.parse((await unlink()).body)).toEqual(SANITIZED);
  expect(project.output.join()).toContain('"fault":"not_migrated"');
});

test('the store cannot be upgraded: refused, and the log says why and what would be right', async () => {
  const database = new DatabaseSync(project.database);
  database.exec("UPDATE schema_marker SET version = 1 WHERE component = 'token-revocation'");
  database.close();
  expect(JSON.parse((await unlink()).body)).toEqual(SANITIZED);
  expect(project.takeLogLine()).toMatchObject({ error: { fault: 'not_migrated', cause: OLDER_STORE } });
});

test('the store was never migrated: refused, and no function makes the schema', async () => {
  rmSync(project.database);
  new DatabaseSync(project.database).close();
  expect(JSON.parse((await unlink()).body)).toEqual(SANITIZED);
  expect(project.output.join()).toContain('"fault":"not_migrated"');
  expect(() => project.countRows()).toThrow('no such table');
});

test('another process holds the store: tried again until it lets go', async () => {
  const writer = new DatabaseSync(project.database);
  writer.exec('BEGIN IMMEDIATE');
  const answer = unlink();
  // The authorizer's answer comes from another instance: by then the unlink has met the lock or is about to.
  expect((await project.gateway('GET', '/whoami', { Authorization: 'Bearer other' })).status).toBe(200);
  writer.exec('ROLLBACK');
  writer.close();
  expect((await answer).status).toBe(200);
});

test('eight calls of one instance that wait for a locked store are all refused in time, each with its log line', async () => {
  const writer = new DatabaseSync(project.database);
  writer.exec('BEGIN IMMEDIATE');
  // The instance is there: what it takes to start counts towards the first call.
  await project.gateway('HEAD', '/v1.0/');
  const answers = await Promise.all(Array.from({ length: 8 }, unlink));
  expect(answers.map(({ body }) => JSON.parse(body))).toEqual(answers.map(() => SANITIZED));
  expect(project.output.filter((line) => line.includes('"fault":"busy"') && line.includes('"token_ids"'))).toHaveLength(
    8,
  );
  writer.exec('ROLLBACK');
  writer.close();
});

test('a database that is replaced while an instance has it open: never a 200 for what nobody will read', async () => {
  expect((await unlink()).status).toBe(200);
  for (const suffix of ['', '-wal', '-shm']) rmSync(project.database + suffix, { force: true });
  migrateSqlite(project.database);
  expect((await overGateway()).status).toBe(200);
  expect(project.countRows()).toBe(1);
});

test('another process does not let go of the store: refused in time, and nothing is stored', async () => {
  const writer = new DatabaseSync(project.database);
  writer.exec('BEGIN IMMEDIATE');
  expect(JSON.parse((await unlink()).body)).toEqual(SANITIZED);
  expect(project.output.join()).toContain('"fault":"busy"');
  writer.exec('ROLLBACK');
  writer.close();
  expect(project.countRows()).toBe(0);
});
