import type { DynamodbOptions } from '../../databases/dynamodb.ts';
import type { Directory } from '../directory.ts';
export async function openDynamodbDirectory(
  _url: string,
  _options: DynamodbOptions & { now?: () => number } = {},
): Promise<Directory> {
  throw new Error('under way');
}
