import type { Directory } from '../directory.ts';
export async function openPostgresDirectory(_url: string, _options: { now?: () => number } = {}): Promise<Directory> {
  throw new Error('under way');
}
