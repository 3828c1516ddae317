import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { migrateSqlite } from '#scripts/migrate.ts';
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
