import { holdToTable } from './hold-to-table.ts';
import { startRedisStore } from './redis-store.ts';

holdToTable('redis', startRedisStore);
