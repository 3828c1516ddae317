import { createHash } from 'node:crypto';
import { Logger } from '@aws-lambda-powertools/logger';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { z } from 'zod';

/** The usual stack doing the same job: zod, Powertools' Logger, and the AWS SDK for one write by the DynamoDB API. */
const Envelope = z.object({
  headers: z.object({ request_id: z.string(), authorization: z.string().regex(/^bearer +[\x21-\x7e]+$/i) }),
  request_type: z.literal('unlink'),
  api_version: z.number(),
});
const logger = new Logger({ serviceName: 'usual' });
const url = new URL(process.env.STORE_URL.replace('dynamodb+', ''));
const client = new DynamoDBClient({ endpoint: url.origin, region: 'local' });

export const handler = async (event) => {
  const { headers } = Envelope.parse(event);
  const id = createHash('sha256').update(headers.authorization).digest('base64url');
  const now = Math.floor(Date.now() / 1000);
  await client.send(
    new PutItemCommand({
      TableName: url.searchParams.get('table'),
      Item: { id: { S: id }, t: { N: `${now}` }, e: { N: `${now + 34_560_000}` } },
      ConditionExpression: 'attribute_not_exists(id)',
    }),
  );
  logger.info('unlinked', { request_id: headers.request_id, token_id: id });
  return { request_id: headers.request_id };
};
