import { holdToTable } from './hold-to-table.ts';
import { startPostgresStore } from './postgres-store.ts';

holdToTable('postgres', startPostgresStore);
