import { deadlineIn } from '#shared/databases/deadline.ts';
import {
  type DynamodbClient,
  type DynamodbOptions,
  DynamodbRefusal,
  integerOf,
  numberValue,
  openDynamodb,
  pauseBeforeRetry,
  schemaKey,
} from '#shared/databases/dynamodb.ts';
import { assertUpgradable, type StoreSchema } from '#shared/databases/store-schema.ts';
import { LOOKUP_INDEX } from '#shared/directory/dynamodb-lookup.ts';
import { isStoreUnavailable, StoreUnavailable } from '#shared/errors.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { type MigrationReport, SCHEMAS } from './migration-files.ts';

/** How long it may take: a table is created in seconds, an index of one that has rows in minutes, in the background. */
const TIMEOUT_MS = 900_000;

/** How long a look at the schema marker may take. */
const LOOK_TIMEOUT_MS = 30_000;

const LOOKUP = {
  IndexName: LOOKUP_INDEX,
  KeySchema: [
    { AttributeName: 'q', KeyType: 'HASH' },
    { AttributeName: 'n', KeyType: 'RANGE' },
  ],
  // YDB has no other.
  Projection: { ProjectionType: 'ALL' },
};
const LOOKUP_ATTRIBUTES = ['q', 'n'].map((name) => ({ AttributeName: name, AttributeType: 'S' }));

/**
 * Makes the table with its index and its time to live where they are missing, and last the schema markers: a function
 * that meets its marker meets all of it. Safe to repeat and to run twice at once.
 *
 * @throws {OlderSchema} No migration can upgrade the store. Nothing was changed.
 * @throws {Error} A schema of it is newer than this code.
 */
export async function migrateDynamodb(url: string, options: DynamodbOptions = {}): Promise<MigrationReport> {
  // Which schema makes no difference: it is for reading and writing rows.
  const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, options);
  const changes: string[] = [];
  try {
    const until = deadlineIn(TIMEOUT_MS);
    if (await createTable(client, until)) changes.push(`table ${client.table}`);
    const found = new Map<StoreSchema, number | undefined>();
    for (const schema of SCHEMAS) found.set(schema, await readMarker(client, schema, until));
    for (const [schema, version] of found) assertUpgradable(schema, version);
    if ([...found].some(([schema, version = 0]) => version > schema.version)) throw tooNew();
    if (await createIndex(client, until)) changes.push(`index ${LOOKUP_INDEX}`);
    if (await enableTimeToLive(client, until)) changes.push('time to live');
    for (const [schema, version] of found) {
      if (version === schema.version) continue;
      await putMarker(client, schema, until);
      changes.push(`schema marker ${schema.component} ${schema.version}`);
    }
    return { wasNew: found.get(TOKEN_REVOCATION_SCHEMA) === undefined, changes };
  } finally {
    client.close();
  }
}

/** Whether a table is there and has a schema marker. Changes nothing. */
export async function hasDynamodbSchema(url: string, options: DynamodbOptions = {}): Promise<boolean> {
  const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, options);
  try {
    return (await readMarker(client, TOKEN_REVOCATION_SCHEMA, deadlineIn(LOOK_TIMEOUT_MS))) !== undefined;
  } catch (error) {
    if (isStoreUnavailable(error) && error.fault === 'not_migrated') return false;
    throw error;
  } finally {
    client.close();
  }
}

/** The version of a schema that the table has, if it has one. */
async function readMarker(
  { table, call }: DynamodbClient,
  schema: StoreSchema,
  until: number,
): Promise<number | undefined> {
  const id = { S: schemaKey(schema) };
  const marker = await call('GetItem', { TableName: table, Key: { id }, ConsistentRead: true }, until);
  return marker?.Item === undefined ? undefined : integerOf(marker.Item.v);
}

async function putMarker(client: DynamodbClient, schema: StoreSchema, until: number): Promise<void> {
  const v = numberValue(schema.version);
  const put = {
    TableName: client.table,
    Item: { id: { S: schemaKey(schema) }, v },
    ConditionExpression: 'attribute_not_exists(id) OR v BETWEEN :from AND :v',
    ExpressionAttributeValues: { ':from': numberValue(schema.upgradable?.from ?? 0), ':v': v },
  };
  if ((await client.call('PutItem', put, until)) !== undefined) return;
  // Another version of this code has migrated it meanwhile.
  assertUpgradable(schema, await readMarker(client, schema, until));
  throw tooNew();
}

/** Returns whether it has created it: false when it was there, or another migration was faster. */
async function createTable({ table, call }: DynamodbClient, until: number): Promise<boolean> {
  let isCreated = false;
  for (let attempt = 0; ; attempt += 1) {
    const status = await tableStatus({ table, call }, until);
    if (status === 'ACTIVE') return isCreated;
    if (status === undefined) {
      const refusal = await unless(['ResourceInUseException'], () =>
        call(
          'CreateTable',
          {
            TableName: table,
            BillingMode: 'PAY_PER_REQUEST',
            AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }, ...LOOKUP_ATTRIBUTES],
            KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
            GlobalSecondaryIndexes: [LOOKUP],
          },
          until,
        ),
      );
      isCreated ||= refusal === undefined;
    }
    await pauseBeforeRetry(attempt, until);
  }
}

/**
 * Adds the index to a table that was made before there was one, and waits until it answers. Returns whether it has
 * added it.
 */
async function createIndex({ table, call }: DynamodbClient, until: number): Promise<boolean> {
  let isCreated = false;
  const update = {
    TableName: table,
    AttributeDefinitions: LOOKUP_ATTRIBUTES,
    GlobalSecondaryIndexUpdates: [{ Create: LOOKUP }],
  };
  for (let attempt = 0; ; attempt += 1) {
    const status = await indexStatus({ table, call }, until);
    if (status === 'ACTIVE') return isCreated;
    let cause: DynamodbRefusal | undefined;
    if (status === undefined) {
      // It is refused while the table is changed, and when another migration has added it and it does not answer yet.
      cause = await unless(['ValidationException', 'ResourceInUseException'], () => call('UpdateTable', update, until));
      isCreated ||= cause === undefined;
    }
    await pauseBeforeRetry(attempt, until, new StoreUnavailable('busy', { cause }));
  }
}

/** As it is described; YDB promises no such description, and there it is told by whether the index answers. */
async function indexStatus(
  { table, call }: Pick<DynamodbClient, 'table' | 'call'>,
  until: number,
): Promise<string | undefined> {
  const described = await call('DescribeTable', { TableName: table }, until);
  const index = described?.Table?.GlobalSecondaryIndexes?.find(({ IndexName }) => IndexName === LOOKUP_INDEX);
  if (index?.IndexStatus !== undefined) return index.IndexStatus;
  const query = {
    TableName: table,
    IndexName: LOOKUP_INDEX,
    KeyConditionExpression: 'q = :q',
    ExpressionAttributeValues: { ':q': { S: 'pending' } },
    Limit: 1,
  };
  try {
    await call('Query', query, until);
    return 'ACTIVE';
  } catch (error) {
    if (error instanceof DynamodbRefusal && error.type === 'ValidationException') return undefined;
    if (isStoreUnavailable(error) && error.fault === 'not_migrated') return undefined;
    throw error;
  }
}

async function tableStatus(
  { table, call }: Pick<DynamodbClient, 'table' | 'call'>,
  until: number,
): Promise<string | undefined> {
  try {
    return (await call('DescribeTable', { TableName: table }, until))?.Table?.TableStatus ?? 'unknown';
  } catch (error) {
    if (isStoreUnavailable(error) && error.fault === 'not_migrated') return undefined;
    throw error;
  }
}

/** Returns whether it has enabled it: false when it was enabled, or another migration was faster. */
async function enableTimeToLive({ table, call }: DynamodbClient, until: number): Promise<boolean> {
  const described = await call('DescribeTimeToLive', { TableName: table }, until);
  const { TimeToLiveStatus, AttributeName } = described?.TimeToLiveDescription ?? {};
  if (TimeToLiveStatus === 'ENABLED' || TimeToLiveStatus === 'ENABLING') {
    if (AttributeName !== 'ttl') throw new Error(`the table ${table} has its time to live on another attribute`);
    return false;
  }
  const refusal = await unless(['ValidationException'], () =>
    call(
      'UpdateTimeToLive',
      { TableName: table, TimeToLiveSpecification: { Enabled: true, AttributeName: 'ttl' } },
      until,
    ),
  );
  return refusal === undefined;
}

/** Does it, or returns the refusal that says it was done already. */
async function unless(types: readonly string[], work: () => Promise<unknown>): Promise<DynamodbRefusal | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof DynamodbRefusal && types.includes(error.type)) return error;
    throw error;
  }
}

function tooNew(): Error {
  return new Error('the schema of the store is newer than this code: deploy the code that made it');
}
