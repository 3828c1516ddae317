import { startDynamodbStore } from './dynamodb-store.ts';
import { holdToTable } from './hold-to-table.ts';

holdToTable('dynamodb', startDynamodbStore);
