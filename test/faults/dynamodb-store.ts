import { inject } from 'vitest';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { type Item, openDynamodb } from '#shared/databases/dynamodb.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { DYNAMODB_CREDENTIALS, dynamodbLocal } from '#test/support/dynamodb-server.ts';
import { apiError, type Handle, startDynamodbProxy } from '#test/support/iam-proxy.ts';
import { findProgram } from '#test/support/test-services.ts';
import { startKillableServer } from './killable-server.ts';
import { createNetworkStore, type End, leadAstray, type NetworkStore } from './network-store.ts';

const TABLE = `unlink-faults-${crypto.randomUUID()}`;
const SIGNED = { credentials: DYNAMODB_CREDENTIALS };
const MARKER = 'schema#token-revocation';

/** Starts DynamoDB Local on files, for what it has in memory does not survive it, with a store in it. */
export async function startDynamodbStore(): Promise<NetworkStore> {
  const server = await startKillableServer({
    cwd: dynamodbLocal(),
    command: (port, folder) => [
      findProgram('java') ?? 'java',
      ...['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.library.path=DynamoDBLocal_lib'],
      ...['-jar', 'DynamoDBLocal.jar', '-sharedDb', '-disableTelemetry', '-dbPath', folder, '-port', String(port)],
    ],
    stopSignal: 'KILL',
  });
  const urlAt = (port: number) => `dynamodb+http://127.0.0.1:${port}/?region=local&auth=sigv4&table=${TABLE}`;
  const storeUrl = urlAt(server.port);
  await migrateDynamodb(storeUrl, SIGNED);

  async function call(url: string, action: string, body: object) {
    const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, SIGNED);
    try {
      return await client.call(action, { TableName: TABLE, ...body }, performance.now() + 10_000);
    } finally {
      client.close();
    }
  }
  async function whileHolds(id: string, attributes: Item): Promise<End> {
    const key = { id: { S: id } };
    const before = (await call(storeUrl, 'GetItem', { Key: key, ConsistentRead: true }))?.Item;
    await call(storeUrl, 'PutItem', { Item: { ...key, ...attributes } });
    return async () => void (await call(storeUrl, 'PutItem', { Item: before ?? key }));
  }

  return createNetworkStore(server, urlAt, (proxy) => {
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
      refuseMore: () => whileAnswers(async () => apiError(400, 'ThrottlingException')),
      refuseCredentials: () => whileAnswers(async () => apiError(400, 'UnrecognizedClientException')),
      block: () =>
        whileAnswers(async ({ action }, forward) =>
          action === 'TransactWriteItems'
            ? apiError(400, 'TransactionCanceledException', { CancellationReasons: [{ Code: 'TransactionConflict' }] })
            : forward(),
        ),
      ageSchema: () => whileHolds(MARKER, { v: { N: '0' } }),
      corrupt: (id) => whileHolds(`revoked-id#${id}`, { t: { S: 'yes' }, e: { N: '4000000000' } }),
      async failOver() {
        const { port } = new URL(inject('dynamodbUrl'));
        await migrateDynamodb(urlAt(Number(port)), SIGNED);
        await call(urlAt(Number(port)), 'DeleteItem', { Key: { id: { S: MARKER } } });
        const comeBack = leadAstray(proxy, Number(port));
        return async () => {
          await comeBack();
          await call(urlAt(Number(port)), 'DeleteTable', {});
        };
      },
    };
  });
}
