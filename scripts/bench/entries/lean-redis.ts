import { Redis } from 'iovalkey';
import { LIFETIME_S, leanHandler } from './lean.ts';

/** On Redis. */
export const handler = leanHandler((id, now, url) =>
  new Redis(url).set(`unlink:lean:${id}`, `${now} ${now + LIFETIME_S}`, 'NX'),
);
