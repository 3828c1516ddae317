import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { keepStep, newSecret, type Step, type StepPorts, takeStep } from '#shared/bind/bind.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { TEST_KEYS } from '#test/support/emulated-project.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const STEP: Step = {
  kind: 'ticket',
  bind: {
    ...{ client: 'app', callback: 'https://app.company.com/callback', isPopup: false },
    ...{ fpType: 'oidc', fpName: 'mock_1', subject: 'ann', begunAt: 1 },
  },
  subject: 'ann',
  account: { sid: 's', tokens: { accessToken: 'a' } },
};
const remainingMs = () => 5000;

type Binds = StepPorts['binds'];

/** A step in a SQLite file, and what happens around each time that it is taken. */
async function keepStepInFile(
  around: (take: () => ReturnType<Binds['take']>, path: string) => ReturnType<Binds['take']>,
) {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'directory.sqlite');
  migrateSqlite(path);
  const directory = await openSqliteDirectory(path);
  onTestFinished(async () => {
    await directory.close();
    folder.remove();
  });
  const { binds } = directory;
  const take: Binds['take'] = (id, timeoutMs) => around(() => binds.take(id, timeoutMs), path);
  const ports: StepPorts = { binds: { ...binds, take }, encryptionKeys: EncryptionKeys.parse(TEST_KEYS) };
  const secret = newSecret();
  await keepStep(secret, STEP, remainingMs, ports);
  return { secret, ports };
}

test('a step is taken up though the file was locked by another writer at first', async () => {
  const faults: unknown[] = [];
  const { secret, ports } = await keepStepInFile(async (take, path) => {
    if (faults.length > 0) return await take();
    const writer = new DatabaseSync(path);
    writer.exec('BEGIN IMMEDIATE');
    try {
      return await take();
    } catch (error) {
      faults.push(error);
      throw error;
    } finally {
      writer.close();
    }
  });

  expect(await takeStep('ticket', secret, remainingMs, ports)).toEqual({ step: STEP });
  expect(faults).toEqual([expect.objectContaining({ fault: 'busy' })]);
  expect(await takeStep('ticket', secret, remainingMs, ports)).toEqual({ error: 'state_used' });
});

test('a step whose taking was not answered is not taken again: it would be found used', async () => {
  let times = 0;
  const { secret, ports } = await keepStepInFile(async (take) => {
    times += 1;
    await take();
    throw new StoreUnavailable('timed_out');
  });

  await expect(takeStep('ticket', secret, remainingMs, ports)).rejects.toMatchObject({ fault: 'timed_out' });
  expect(times).toBe(1);
});
