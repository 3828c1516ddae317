import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openOutbox } from '#shared/outbox/open-store.ts';
import type { NewJob } from '#shared/outbox/outbox.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const JOB: NewJob = { id: 'a', kind: 'upstream-revocation', details: {}, boundTo: 'a', requestId: 'r-1' };

describe('the outbox alone', () => {
  test('is kept in memory for as long as it is open, by one that opens it', async () => {
    const [outbox, other] = [1, 2].map(() => openOutbox({ STORE_URL: 'memory:' }, LOCAL_PLATFORM));
    onTestFinished(async () => void (await Promise.all([outbox?.close(), other?.close()])));
    expect(await outbox?.add(JOB)).toBe(true);
    expect(await outbox?.add(JOB)).toBe(false);
    expect(await other?.find('a')).toBeUndefined();
  });

  test.each([
    ['in Redis', { STORE_URL: 'redis://localhost/0' }, 'the directory is not kept in Redis'],
    ['where nothing says', {}, 'STORE_URL must be'],
    ['in what its own variable names wrongly', { STORE_URL: 'memory:', DIRECTORY_URL: 'x:' }, 'DIRECTORY_URL must be'],
  ])('is not kept %s', (_name, settings, message) => {
    expect(() => openOutbox(settings, LOCAL_PLATFORM)).toThrow(message);
  });

  test('is not kept in the cloud where it is lost with its instance, unless that is accepted', async () => {
    const deployed = { ...LOCAL_PLATFORM, isDeployed: true };
    const settings = { STORE_URL: 'memory:' };
    expect(() => openOutbox(settings, deployed)).toThrow('lost with its instance');
    const outbox = openOutbox({ ...settings, ALLOW_EPHEMERAL_STORE: '1' }, deployed);
    onTestFinished(() => outbox.close());
    expect(await outbox.add(JOB)).toBe(true);
  });

  test('is the file that the settings name, found again by the next one that opens it', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'outbox.sqlite');
    migrateSqlite(path);
    const open = () => openOutbox({ STORE_URL: `sqlite:${path}` }, LOCAL_PLATFORM);
    const outbox = open();
    await outbox.add(JOB);
    await outbox.close();
    const next = open();
    onTestFinished(() => next.close());
    expect(await next.find('a')).toMatchObject({ id: 'a' });
  });

  // Nobody listens at port 1: which driver it was is told by what it says of that.
  test('is a server that the settings name', async () => {
    const outbox = openOutbox({ STORE_URL: 'postgres://user:secret@127.0.0.1:1/db' }, LOCAL_PLATFORM);
    onTestFinished(() => outbox.close());
    await expect(outbox.add(JOB, 200)).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('is a driver that says what is wrong with its URL by the name of the variable', async () => {
    const outbox = openOutbox({ STORE_URL: 'dynamodb+https://ydb.example/' }, LOCAL_PLATFORM);
    onTestFinished(() => outbox.close());
    await expect(outbox.find('a')).rejects.toThrow('STORE_URL');
  });
});
