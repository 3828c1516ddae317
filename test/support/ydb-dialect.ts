import type { ApiAnswer, ApiRequest, Handle } from './iam-proxy.ts';

/** The actions of YDB's Document API: yandex.cloud/en/docs/ydb/docapi/api-ref. */
const ACTIONS: ReadonlySet<string> = new Set([
  ...['CreateTable', 'DeleteTable', 'DescribeTable', 'DescribeTimeToLive', 'ListTables', 'UpdateTable'],
  ...['UpdateTimeToLive', 'BatchGetItem', 'BatchWriteItem', 'DeleteItem', 'GetItem', 'PutItem', 'Query', 'Scan'],
  ...['TransactGetItems', 'TransactWriteItems', 'UpdateItem'],
]);

/** What YDB describes of a table: neither its indexes nor how it is billed. */
const DESCRIBED = ['AttributeDefinitions', 'CreationDateTime', 'ItemCount', 'KeySchema', 'TableName', 'TableSizeBytes'];

const MAX_ACTIONS = 25;
const MAX_TRANSACTION_BYTES = 4_194_304;
const MAX_SCANNED = 100;

/**
 * Makes DynamoDB Local speak as YDB documents its Document API, where that differs:
 * - An IAM token in place of a signature; no `ClientRequestToken`; the documented actions alone.
 * - An error's name without a namespace. `ValidationError` for malformed input, except where `ValidationException` is
 *   documented: by an index read consistently, and by a table that is changed already.
 * - A cancelled transaction without its reasons. It also stands for an item over 400 KB, a transaction over 4 MB, two
 *   actions of one item and malformed data.
 * - At most 25 actions in a transaction, 100 items in a page of a scan, indexes of whole items only, and a description of
 *   a table without its indexes.
 *
 * The size of a key is not documented: that of DynamoDB holds. What YDB really does only a deployment shows.
 */
export function inYdbDialect(token: string, handle: Handle): Handle {
  return async (request, forward) => {
    const refusal = refuse(request, token);
    if (refusal !== undefined) return ydbError(refusal);
    const narrowed = narrow(request);
    const answer = await handle(narrowed, (body = narrowed.body) => forward(body));
    return answer && translate(request, answer);
  };
}

function refuse({ action, body, headers }: ApiRequest, token: string): string | undefined {
  if (headers.authorization !== `Bearer ${token}`) return 'AccessDeniedException';
  if (!ACTIONS.has(action)) return 'InvalidAction';
  if ('ClientRequestToken' in body) return 'ValidationError';
  if (/"ProjectionType":"(?!ALL")/.test(JSON.stringify(body))) return 'ValidationError';
  if (action !== 'TransactWriteItems') return undefined;
  const actions = body.TransactItems as Record<string, { Key?: object; Item?: { id: object } }>[]; // as the driver sends
  if (actions.length > MAX_ACTIONS) return 'ValidationError';
  const keys = actions.flatMap(Object.values).map(({ Key, Item }) => JSON.stringify(Key ?? { id: Item?.id }));
  const isCancelled = new Set(keys).size < keys.length || sizeOf(actions) > MAX_TRANSACTION_BYTES;
  return isCancelled ? 'TransactionCanceledException' : undefined;
}

/** A little more than YDB counts: with the names and the punctuation of JSON. */
function sizeOf(actions: readonly object[]): number {
  return Buffer.byteLength(JSON.stringify(actions));
}

function narrow(request: ApiRequest): ApiRequest {
  if (request.action !== 'Scan') return request;
  return {
    ...request,
    body: { ...request.body, Limit: Math.min(Number(request.body.Limit ?? MAX_SCANNED), MAX_SCANNED) },
  };
}

function translate({ action, body: asked }: ApiRequest, { status, body, ...rest }: ApiAnswer): ApiAnswer {
  if (status === 200 && action === 'DescribeTable') return { status, body: describe(body), ...rest };
  if (status === 200) return { status, body, ...rest };
  const name = String(body.__type).replace(/^.*#/, '');
  const isMalformed = name === 'ValidationException';
  if (isMalformed && action === 'TransactWriteItems') return ydbError('TransactionCanceledException');
  const isDocumented = /^Update(Table|TimeToLive)$/.test(action) || (asked.ConsistentRead && 'IndexName' in asked);
  return ydbError(isMalformed && !isDocumented ? 'ValidationError' : name, status);
}

function describe(body: ApiAnswer['body']): ApiAnswer['body'] {
  const entries = Object.entries(body.Table as object); // as the API answers
  return { Table: Object.fromEntries(entries.filter(([name]) => name === 'TableStatus' || DESCRIBED.includes(name))) };
}

function ydbError(name: string, status = 400): ApiAnswer {
  return { status, body: { __type: name, message: 'no' } };
}
