import { request } from 'node:http';
import aws4 from 'aws4';
import { LIFETIME_S, leanHandler } from './lean.ts';

/** By the DynamoDB API. */
export const handler = leanHandler((id, now, url) => {
  const { hostname, port, host, searchParams } = new URL(url.replace('dynamodb+', ''));
  const body = JSON.stringify({
    TableName: searchParams.get('table'),
    Item: { id: { S: id }, t: { N: `${now}` }, e: { N: `${now + LIFETIME_S}` } },
    ConditionExpression: 'attribute_not_exists(id)',
  });
  const target = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.PutItem' };
  const { headers = {} } = aws4.sign(
    { method: 'POST', path: '/', body, service: 'dynamodb', region: 'local', headers: { host, ...target } },
    {
      accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? '',
    },
  );
  return new Promise((resolve, reject) => {
    request({ hostname, port, path: '/', method: 'POST', headers }, (response) => response.resume().on('end', resolve))
      .on('error', reject)
      .end(body);
  });
});
