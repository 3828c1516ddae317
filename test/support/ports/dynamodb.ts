/** What tests use of a store behind the DynamoDB API: an entry of a bundle of its own, see `load-ports.ts`. */
export { openDynamodbDirectory } from '#shared/directory/drivers/dynamodb.ts';
export { openDirectory } from '#shared/directory/open-store.ts';
export { openDynamodbOutbox } from '#shared/outbox/drivers/dynamodb.ts';
export { openOutbox } from '#shared/outbox/open-store.ts';
export { openDynamodbStore } from '#shared/token-revocation/drivers/dynamodb.ts';
export { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
