import { inject } from 'vitest';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { deadlineIn } from '#shared/databases/deadline.ts';
import { type Item, openDynamodb, schemaKey } from '#shared/databases/dynamodb.ts';
import { DIRECTORY_SCHEMA } from '#shared/directory/directory.ts';
import { subjectKey } from '#shared/directory/dynamodb-items.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { DYNAMODB_CREDENTIALS, dynamodbCommand, dynamodbLocal } from '#test/support/dynamodb-server.ts';
import { apiError, type Handle, startDynamodbProxy } from '#test/support/iam-proxy.ts';
import { startKillableServer } from './killable-server.ts';
import { createNetworkStore, type End, leadAstray, type NetworkStore } from './network-store.ts';

const TABLE = `unlink-faults-${crypto.randomUUID()}`;
const SIGNED = { credentials: DYNAMODB_CREDENTIALS };
const MARKERS = [TOKEN_REVOCATION_SCHEMA, DIRECTORY_SCHEMA].map(schemaKey);

/** Starts DynamoDB Local on files, for what it has in memory does not survive it, with a store in it. */
export async function startDynamodbStore(): Promise<NetworkStore> {
  const server = await startKillableServer({
    cwd: dynamodbLocal(),
    command: (port, folder) => dynamodbCommand(port, '-dbPath', folder),
    stopSignal: 'KILL',
  });
  const urlAt = (port: number) => `dynamodb+http://127.0.0.1:${port}/?region=local&auth=sigv4&table=${TABLE}`;
  const storeUrl = urlAt(server.port);
  await migrateDynamodb(storeUrl, SIGNED);

  async function call(url: string, action: string, body: object) {
    const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, SIGNED);
    try {
      return await client.call(action, { TableName: TABLE, ...body }, deadlineIn(10_000));
    } finally {
      client.close();
    }
  }
  async function whileHold(ids: readonly string[], attributes: Item): Promise<End> {
    const keys = ids.map((id) => ({ id: { S: id } }));
    const before: Item[] = [];
    for (const key of keys) {
      before.push((await call(storeUrl, 'GetItem', { Key: key, ConsistentRead: true }))?.Item ?? key);
      await call(storeUrl, 'PutItem', { Item: { ...key, ...attributes } });
    }
    return async () => {
      for (const item of before) await call(storeUrl, 'PutItem', { Item: item });
    };
  }

  return createNetworkStore('dynamodb', server, urlAt, (proxy) => {
    /** Puts something between that answers as the server would. DynamoDB Local itself has no such fault. */
    async function whileAnswers(handle: Handle): Promise<End> {
      const between = await startDynamodbProxy(storeUrl, 'auth=sigv4', handle);
      const comeBack = leadAstray(proxy, Number(new URL(between.url).port));
      return async () => {
        await comeBack();
        await between.stop();
      };
    }
    return {
      commit: /TransactWriteItems/,
      refuseMore: () => whileAnswers(async () => apiError(400, 'ThrottlingException')),
      refuseCredentials: () => whileAnswers(async () => apiError(400, 'UnrecognizedClientException')),
      block: () =>
        whileAnswers(async ({ action }, forward) =>
          action === 'TransactWriteItems'
            ? apiError(400, 'TransactionCanceledException', { CancellationReasons: [{ Code: 'TransactionConflict' }] })
            : forward(),
        ),
      ageSchema: () => whileHold(MARKERS, { v: { N: '0' } }),
      corrupt: (id) =>
        whileHold([`revoked-id#${id}`, subjectKey(id)], { t: { S: 'yes' }, e: { N: '4000000000' }, d: { S: 'yes' } }),
      async failOver() {
        const { port } = new URL(inject('dynamodbUrl'));
        await migrateDynamodb(urlAt(Number(port)), SIGNED);
        for (const marker of MARKERS) await call(urlAt(Number(port)), 'DeleteItem', { Key: { id: { S: marker } } });
        const comeBack = leadAstray(proxy, Number(port));
        return async () => {
          await comeBack();
          await call(urlAt(Number(port)), 'DeleteTable', {});
        };
      },
    };
  });
}
