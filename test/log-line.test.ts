import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { formatLogLine } from '#scripts/log-line.ts';

/** The line as it reads, without colours and without its time, which is this machine's. */
function read(line: string): string {
  return stripVTControlCharacters(formatLogLine('smart-home-unlink', line)).replace(/^\d\d:\d\d:\d\d\.\d{3} /, '');
}

test('a log line of ours reads as level, function, message and the other fields', () => {
  const line = {
    level: 'INFO',
    message: 'smart-home-unlink: ok',
    timestamp: '2025-01-02T03:04:05.006Z',
    function: 'smart-home-unlink',
    request_id: '1111-aaaa',
    text: 'two words',
    revocation: { token_ids: ['k1.x'] },
    duration_ms: 3.2,
  };

  expect(read(JSON.stringify(line))).toBe(
    'INFO  smart-home-unlink ok request_id=1111-aaaa text="two words" revocation={"token_ids":["k1.x"]} duration_ms=3.2',
  );
});

test('its time is shown to the millisecond', () => {
  const line = { level: 'WARN', message: 'm', timestamp: '2025-01-02T03:04:05.006Z' };

  expect(stripVTControlCharacters(formatLogLine('f', JSON.stringify(line)))).toMatch(/^\d\d:\d\d:05\.006 WARN {2}f m$/);
});

test.each(['not JSON', '"a string"', 'null', '{"message":"no level"}'])(
  '%s is no log line and stays as it is',
  (line) => {
    expect(read(line)).toBe(`smart-home-unlink ${line}`);
  },
);

test('the rows of a stack stand below each other again', () => {
  expect(read('[ERROR] Error: x\r    at one\r    at two')).toBe(
    'smart-home-unlink [ERROR] Error: x\n    at one\n    at two',
  );
});

test.each([
  ['a line', '\u001b[2J\u009b'],
  ['a message', JSON.stringify({ level: 'INFO', message: '\u001b[2J\u009b' })],
  ['a value', JSON.stringify({ level: 'INFO', message: 'm', request_id: '\u001b[2J\u009b' })],
  ['a function', JSON.stringify({ level: 'INFO', message: 'm', function: '\u001b[2J\u009b' })],
])('%s cannot steer the terminal', (_, line) => {
  const seen = stripVTControlCharacters(formatLogLine('f', line));

  // What a caller wrote would have been stripped like a colour.
  expect(seen).toContain('\\u{9b}');
  expect(seen).toMatch(/\\u(001b|\{1b\})\[2J/);
});
