/**
 * A process that calls the built function `BUNDLE`, raw, with one token after another, and tells the id of each call that
 * was answered, until it is killed.
 */
import { createRequire } from 'node:module';

const { handler } = createRequire(import.meta.url)(process.env.BUNDLE ?? '');
for (let index = 0; ; index += 1) {
  const id = `call-${index}`;
  const event = {
    headers: { request_id: id, authorization: `Bearer token-${index}` },
    request_type: 'unlink',
    api_version: 1,
  };
  await handler(event, {
    requestId: id,
    functionName: 'smart-home-unlink',
    functionVersion: 'test',
    getRemainingTimeInMillis: () => 10_000,
  });
  process.send?.(id);
}
