import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { OUTBOX_SQL } from '#shared/outbox/drivers/sqlite.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import {
  DIRECTORY_TABLES,
  type DurableDirectoryBackend,
  directoryContract,
  durableDirectoryContract,
} from './directory.ts';

const { openOutbox, openSqliteDirectory, openSqliteOutbox } = await loadPorts('sqlite');

directoryContract('sqlite', createBackend);
durableDirectoryContract('sqlite', createBackend);

test('a claim finds due jobs by their indexes, whatever else is pending', () => {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const path = join(folder.path, 'directory.sqlite');
  migrateSqlite(path);
  const database = new DatabaseSync(path);
  onTestFinished(() => database.close());
  const plan = database.prepare(`EXPLAIN QUERY PLAN ${OUTBOX_SQL.claimJobs}`).all('me', 1, 20, 1);
  const steps = plan.map(({ detail }) => String(detail)).filter((detail) => detail.includes('outbox_job'));
  expect(steps).toEqual([
    expect.stringMatching(/^SEARCH outbox_job USING PRIMARY KEY /),
    expect.stringMatching(/^SEARCH outbox_job USING .*INDEX outbox_job_due \(state=\? AND due_at<\?\)$/),
    expect.stringMatching(/^SEARCH outbox_job USING .*INDEX outbox_job_due_last \(state=\? AND due_at<\?\)$/),
  ]);
});

function createBackend(): DurableDirectoryBackend {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'directory.sqlite');
  migrateSqlite(path);
  const database = new DatabaseSync(path);
  const rows = (table: string) => database.prepare(`SELECT * FROM ${table}`).all();
  return {
    openOutboxBySettings: () => openOutbox({ DIRECTORY_URL: `sqlite:${path}` }, LOCAL_PLATFORM),
    open: (options) => openSqliteDirectory(path, options),
    openOutbox: (options) => openSqliteOutbox(path, options),
    auditRecords: async () => rows('audit_record').map(({ record }) => JSON.parse(String(record))),
    dump: async () => JSON.stringify(DIRECTORY_TABLES.map(rows)),
    loseMarker: () => database.exec(`DELETE FROM schema_marker WHERE component = 'directory'`),
    ageMarker: () => database.exec(`UPDATE schema_marker SET version = version - 1 WHERE component = 'directory'`),
    failAuditRecords: () =>
      database.exec(`CREATE TRIGGER no_audit BEFORE INSERT ON audit_record BEGIN SELECT RAISE(ABORT, 'no'); END`),
    dispose: () => {
      database.close();
      folder.remove();
    },
  };
}
