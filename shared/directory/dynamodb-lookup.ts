import type { DynamodbClient, Item } from '../databases/dynamodb.ts';
import { orderOf, textOf } from './dynamodb-items.ts';

/**
 * The index of jobs by state and of links by e-mail, by the attributes `q` and `n`. It may be behind the table: it only
 * says where to look, and what it does not show yet is found by a later look.
 */
export const LOOKUP_INDEX = 'lookup';

/** How many entries a look through the index asks for at once, where it needs all of them. */
export const ENTRIES_PER_PAGE = 1000;

/** Before every place. */
export const FIRST = orderOf(0, '');

/** An item in the index. */
export interface Entry {
  readonly key: string;
  /** Of a job: its place by age. */
  readonly order: string;
}

/** Which entries, and how many at once. */
export interface Page {
  readonly condition: 'n > :n' | 'n < :n';
  readonly n: string;
  readonly size: number;
  readonly until: number;
}

/** The entries of one `q` in the order of `n`, a page at a time: at least one page. */
export async function* entriesOf(
  { table: TableName, call }: DynamodbClient,
  queue: string,
  { condition, n, size, until }: Page,
): AsyncGenerator<Entry[]> {
  const query = {
    ...{ TableName, IndexName: LOOKUP_INDEX, ProjectionExpression: 'id, o', Limit: size },
    KeyConditionExpression: `q = :q AND ${condition}`,
    ExpressionAttributeValues: { ':q': { S: queue }, ':n': { S: n } },
  };
  let start: Item | undefined;
  do {
    const answer = await call('Query', { ...query, ...(start && { ExclusiveStartKey: start }) }, until);
    yield (answer?.Items ?? []).map(({ id, o }) => ({ key: textOf(id), order: o?.S ?? '' }));
    start = answer?.LastEvaluatedKey;
  } while (start !== undefined);
}
