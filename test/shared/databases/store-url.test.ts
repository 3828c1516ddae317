import { expect, test } from 'vitest';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { readRedisUrl } from '#shared/databases/redis.ts';
import { Misconfigured } from '#shared/errors.ts';

test.each([
  ['postgres://db.example.net/unlink', 'verified, for db.example.net'],
  ['postgres://db.example.net/unlink?sslmode=require', 'unverified'],
  ['postgres://db.example.net/unlink?sslmode=disable', 'none'],
  ['postgres://10.0.0.1/unlink', 'verified, for 10.0.0.1'],
  ['postgres://[2001:db8::1]/unlink', 'verified, for 2001:db8::1'],
  ['postgres://localhost/unlink', 'none'],
  ['postgres://127.1.2.3/unlink', 'none'],
  ['postgres://[::1]/unlink', 'none'],
  ['postgres:///unlink?host=/var/run/postgresql', 'none'],
  ['postgres://127.0.0.1.example.net/unlink', 'verified, for 127.0.0.1.example.net'],
  ['postgres://localhost/unlink?sslmode=verify-full', 'verified, for localhost'],
])('%s is reached with TLS: %s', (url, expected) => {
  const { ssl } = readPostgresUrl(url).connection;
  const tls = typeof ssl === 'object' ? ssl : undefined;
  const verified = tls?.rejectUnauthorized === true ? `verified, for ${tls.host}` : 'unverified';
  expect(tls === undefined ? 'none' : verified).toBe(expected);
});

test('the parts of a PostgreSQL URL are decoded', () => {
  const { connection } = readPostgresUrl('postgres://us%40er:p%2F%23@h:5433/data%20base');
  expect(connection).toMatchObject({ user: 'us@er', password: 'p/#', host: 'h', port: 5433, database: 'data base' });
});

test('a comma outside of the host is no list of hosts', () => {
  const { connection } = readPostgresUrl('postgres://us,er:p,w@h/a,b');
  expect(connection).toMatchObject({ user: 'us,er', password: 'p,w', host: 'h', database: 'a,b' });
});

test('statements are prepared unless the URL says that a pooler is in between', () => {
  expect(readPostgresUrl('postgres://h/d').isPrepared).toBe(true);
  expect(readPostgresUrl('postgres://h/d?prepare=false').isPrepared).toBe(false);
});

test.each([
  ['redis://h', { host: 'h', port: 6379 }, [], 0],
  ['rediss://h:1/3', { port: 1, tls: { host: 'h', servername: 'h', rejectUnauthorized: true } }, [], 3],
  ['rediss://10.0.0.1', { tls: { host: '10.0.0.1' } }, [], 0],
  ['redis://:p%40@h', {}, ['AUTH', 'default', 'p@'], 0],
  ['redis://u:p@h', {}, ['AUTH', 'u', 'p'], 0],
])('%s is read', (url, options, credentials, databaseNumber) => {
  expect(readRedisUrl(url)).toMatchObject({ options, credentials, databaseNumber });
});

test.each([
  ['postgres://u:secret@h/d?sslmode=prefer', "sslmode in the store's URL must be disable or require or verify-full"],
  ['postgres://u:secret@h/d?ssl_mode=require', 'host, prepare, sslmode, sslrootcert alone'],
  ['postgres://u:secret@h/d?sslrootcert=/nowhere/secret', 'must be a file that can be read'],
  ['postgres://u:secret@h1,h2/d', "the store's URL names several hosts: it must name one, the address of the primary"],
  ['postgres://u:secret@h1:5432,h2:5433/d', 'names several hosts'],
  ['postgres://u,secret@h1:5432,h2/d', 'names several hosts'],
  ['postgres:///secret?host=h1,h2', 'names several hosts'],
  [
    'postgres://u:secret@h/d?target_session_attrs=read-write',
    "target_session_attrs in the store's URL is not supported: the URL must name one host, the address of the primary",
  ],
  ['postgres://u:secret@[/d', 'it must be scheme://user:password@host:port/path?name=value, with each part'],
  ['postgres://u:secret%zz@h/d', 'cannot be read'],
  ['postgres://u:secret@h:99999/d', 'cannot be read'],
])('%s is refused without a word of it in the message', (url, message) => {
  expect(() => readPostgresUrl(url)).toThrow(Misconfigured);
  expect(() => readPostgresUrl(url)).toThrow(message);
  expect(() => readPostgresUrl(url)).not.toThrow('secret');
});

test.each([
  ['redis://h/name', 'must be a number'],
  ['redis://h1:6379,h2:6379', 'names several hosts'],
  ['redis://h?accept-loss=all', 'everysec or unknown'],
])('%s is refused', (url, message) => {
  expect(() => readRedisUrl(url)).toThrow(message);
});
