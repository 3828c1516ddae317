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
import { isStoreUnavailable } from '#shared/errors.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';

/** How long it may take: a table is created in seconds, in the background. */
const TIMEOUT_MS = 120_000;

/**
 * Makes the table with its time to live where it is missing, and last the schema marker: a function that meets the
 * marker meets all of it. Safe to repeat and to run twice at once.
 *
 * @throws {Error} Its schema is newer than this code.
 */
export async function migrateDynamodb(url: string, options: DynamodbOptions = {}): Promise<void> {
  const schema = TOKEN_REVOCATION_SCHEMA;
  const client = await openDynamodb(url, schema, options);
  try {
    const until = performance.now() + TIMEOUT_MS;
    await createTable(client, until);
    const id = { S: schemaKey(schema) };
    const marker = await client.call('GetItem', { TableName: client.table, Key: { id }, ConsistentRead: true }, until);
    if (marker?.Item !== undefined && integerOf(marker.Item.v) > schema.version) throw tooNew();
    await enableTimeToLive(client, until);
    const put = {
      TableName: client.table,
      Item: { id, v: numberValue(schema.version) },
      ConditionExpression: 'attribute_not_exists(id) OR v <= :v',
      ExpressionAttributeValues: { ':v': numberValue(schema.version) },
    };
    if ((await client.call('PutItem', put, until)) === undefined) throw tooNew();
  } finally {
    client.close();
  }
}

async function createTable({ table, call }: DynamodbClient, until: number): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const status = await tableStatus({ table, call }, until);
    if (status === 'ACTIVE') return;
    if (status === undefined) {
      await unless('ResourceInUseException', () =>
        call(
          'CreateTable',
          {
            TableName: table,
            BillingMode: 'PAY_PER_REQUEST',
            AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
            KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
          },
          until,
        ),
      );
    }
    await pauseBeforeRetry(attempt, until);
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

async function enableTimeToLive({ table, call }: DynamodbClient, until: number): Promise<void> {
  const described = await call('DescribeTimeToLive', { TableName: table }, until);
  const { TimeToLiveStatus, AttributeName } = described?.TimeToLiveDescription ?? {};
  if (TimeToLiveStatus === 'ENABLED' || TimeToLiveStatus === 'ENABLING') {
    if (AttributeName !== 'ttl') throw new Error(`the table ${table} has its time to live on another attribute`);
    return;
  }
  // It is refused when another migration was faster.
  await unless('ValidationException', () =>
    call(
      'UpdateTimeToLive',
      { TableName: table, TimeToLiveSpecification: { Enabled: true, AttributeName: 'ttl' } },
      until,
    ),
  );
}

/** Does it, or finds that this refusal says that it was done already. */
async function unless(type: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DynamodbRefusal && error.type === type)) throw error;
  }
}

function tooNew(): Error {
  return new Error('the schema of the store is newer than this code: deploy the code that made it');
}
