import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { type DurableDirectoryBackend, directoryContract, durableDirectoryContract } from './directory.ts';

directoryContract('sqlite', createBackend);
durableDirectoryContract('sqlite', createBackend);

const TABLES = [
  'account_link',
  'unlinked_identity',
  'bind_transaction',
  'outbox_job',
  'audit_record',
  'threepid_binding',
];

function createBackend(): DurableDirectoryBackend {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'directory.sqlite');
  migrateSqlite(path);
  const database = new DatabaseSync(path);
  const rows = (table: string) => database.prepare(`SELECT * FROM ${table}`).all();
  return {
    open: (options) => openSqliteDirectory(path, options),
    auditRecords: async () => rows('audit_record').map(({ record }) => JSON.parse(String(record))),
    dump: async () => JSON.stringify(TABLES.map(rows)),
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
