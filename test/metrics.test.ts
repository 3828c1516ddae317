import { readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { createCounter } from '#scripts/metrics/count.ts';
import { LABELS, METRICS, type MetricDefinition } from '#scripts/metrics/definitions.ts';
import { startProject } from '#test/support/emulated-project.ts';
import { application, LINK_SETTINGS, SCOPES, user } from '#test/support/link-calls.ts';
import { startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { issueToken } from '#test/support/test-issuer.ts';

const row = (...cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** Conditions as a selector of Monium has them, a pipe hidden from the table. */
const selector = ({ where }: MetricDefinition) =>
  Object.entries(where)
    .map(([field, values]) => `${field}="${values === 'any' ? '*' : values.join('\\|')}"`)
    .join(', ');

const aggregate = ({ type, value }: MetricDefinition) =>
  value === undefined ? '`count`' : type === 'gauge' ? `\`max\` of \`${value}\`` : `\`count\`, \`avg\` of \`${value}\``;

const TABLE = [
  row('metric', 'of the lines with', 'function', 'grouped by', ''),
  row('---', '---', '---', '---', '---'),
  ...METRICS.map((metric) => {
    const labels = metric.labels.map((label) => `\`${label}\``).join(', ');
    return row(`\`${metric.name}\``, `\`${selector(metric)}\``, aggregate(metric), labels, metric.help);
  }),
].join('\n');

/** The samples of a metric that are not 0, without its name. */
function samplesOf(name: string, lines: readonly string[]): string[] {
  const counter = createCounter();
  for (const line of lines) counter.count(line);
  return counter
    .text()
    .split('\n')
    .filter((line) => new RegExp(`^${name}[ {]`).test(line))
    .map((line) => line.slice(name.length));
}

test('the document shows the list that is counted by', () => {
  console.log(TABLE);
  expect(readFileSync('docs/operations.md', 'utf8')).toContain(TABLE);
});

test('every function of the project is a label, and nothing else is', () => {
  const rows = readFileSync('infra/functions.yaml', 'utf8').split('\nfunctions:\n')[1] ?? '';
  const names = [...rows.matchAll(/^ {2}([a-z-]+):$/gm)].map(([, name]) => name);

  expect([...LABELS.function].sort()).toEqual(names.sort());
});

test('what the functions print is counted', async () => {
  const project = await startProject({ local: LINK_SETTINGS });
  onTestFinished(() => project.close());
  const [token, other] = [await issueToken(), await issueToken({ sub: 'user-2' })];
  const unlink = { headers: { authorization: `Bearer ${token}` }, request_type: 'unlink', api_version: 1 };
  const link = '/blitz/api/v2/users/ann/fa/vk/vk_1/1';
  const byApplication = { Authorization: application(), 'Content-Type': 'application/json' };

  for (let count = 0; count < 2; count += 1) await project.raw('smart-home-unlink', unlink);
  await project.raw('smart-home-unlink', { ...unlink, headers: {} });
  await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` });
  await project.gateway('GET', '/whoami', { Authorization: `Bearer ${other}` });
  await project.gateway('GET', '/whoami', { Authorization: 'Bearer not-a-jwt' });
  await project.gateway('POST', link, byApplication, '{}');
  for (let count = 0; count < 2; count += 1) await project.gateway('DELETE', link, byApplication);
  await project.tick();

  const count = (name: string) => samplesOf(name, project.output);
  expect(count('unlink_requests_total')).toEqual([
    '{function="external-provider-delete",outcome="ok"} 2',
    '{function="smart-home-unlink",outcome="denied"} 1',
    '{function="smart-home-unlink",outcome="ok"} 2',
  ]);
  expect(count('revocations_total')).toEqual([
    '{function="smart-home-unlink",first="false"} 1',
    '{function="smart-home-unlink",first="true"} 1',
  ]);
  expect(count('authorizer_decisions_total')).toEqual([
    '{outcome="denied",reason="revoked_by_token"} 1',
    '{outcome="denied",reason="unknown_issuer"} 1',
    '{outcome="ok",reason=""} 1',
  ]);
  expect(count('grant_revocations_total')).toEqual(['{provider="vk:vk_1",revocation="unsupported"} 1']);
  expect(count('idempotent_replays_total')).toEqual(['{function="external-provider-delete"} 1']);
  expect(count('cold_starts_total')).toContain('{function="token-authorize"} 1');
  expect(count('handler_seconds_count')).toContain('{function="token-authorize",outcome="denied"} 2');
  expect(count('outbox_depth')).toEqual(['{state="dead"} 0', '{state="pending"} 0', '{state="set_aside"} 0']);
  expect(count('outbox_oldest_age_seconds')).toEqual([' 0']);
});

test('no label has a value beyond its list, whatever is called', async () => {
  const project = await startProject({
    local: { ...LINK_SETTINGS, STORE_URL: 'sqlite:/nowhere/unlink.sqlite' },
    timeout: 1,
  });
  onTestFinished(() => project.close());
  const own = 'of-a-caller';
  const json = { 'Content-Type': 'application/json', 'X-Request-Id': own };
  const Authorization = await user(own, SCOPES.change);

  await project.gateway('POST', `/blitz/api/v3/users/${own}/fa/${own}/${own}/1`, { ...json, Authorization }, '{}');
  await project.gateway('DELETE', `/blitz/api/v3/users/${own}/fa/${own}/${own}/1`, { ...json, Authorization });
  await project.gateway('GET', `/whoami?provider=${own}`, { Authorization: `Bearer ${own}`, traceparent: own });
  await project.gateway(
    'POST',
    '/social/unlink',
    { ...json, Authorization },
    JSON.stringify({ email: own, network: own }),
  );
  // With a store that answers: else its fault comes before that of the homeserver.
  const withStore = await startProject();
  onTestFinished(() => withStore.close());
  await withStore.raw('threepid-unbind', {
    headers: { authorization: `Bearer ${own}` },
    request_type: '3pid.unbind',
    api_version: 1,
    payload: { id_server: own },
  });
  await project.raw('smart-home-unlink', {
    headers: { request_id: own, reason: own },
    request_type: own,
    api_version: 1,
    outcome: own,
    function: own,
  });

  const lines = [...project.output, ...withStore.output].filter((line) => line.includes('"outcome":'));
  expect(lines.length).toBeGreaterThanOrEqual(6);
  const text = METRICS.flatMap(({ name }) => samplesOf(name, lines)).join('\n');
  expect(text).not.toContain(own);
  expect(text).not.toContain('"other"');
  expect(samplesOf('store_errors_total', lines)).not.toEqual([]);
  expect(samplesOf('outgoing_errors_total', lines)).not.toEqual([]);
});

test('a value of a line that is forged or of another version is "other"', () => {
  const line = { outcome: 'ok', function: 'of-a-caller', first: true, provider: 'a"b', fa_status: '\n' };

  expect(samplesOf('revocations_total', [JSON.stringify(line)])).toEqual(['{function="other",first="true"} 1']);
  expect(samplesOf('bind_finished_total', [JSON.stringify(line)])).toEqual([
    '{provider="other",fa_status="other",fa_error=""} 1',
  ]);
});

test('a histogram has cumulative buckets, in seconds', () => {
  const lines = [4, 5, 200, 60_000].map((duration_ms) =>
    JSON.stringify({ outcome: 'ok', function: 'maintenance', duration_ms }),
  );

  const labels = 'function="maintenance",outcome="ok"';
  expect(samplesOf('handler_seconds_bucket', lines)).toEqual([
    `{${labels},le="0.005"} 2`,
    ...['0.01', '0.025', '0.05', '0.1'].map((bound) => `{${labels},le="${bound}"} 2`),
    ...['0.3', '1', '3', '10'].map((bound) => `{${labels},le="${bound}"} 3`),
    `{${labels},le="+Inf"} 4`,
  ]);
  expect(samplesOf('handler_seconds_sum', lines)).toEqual([`{${labels}} 60.209`]);
  expect(samplesOf('handler_seconds_count', lines)).toEqual([`{${labels}} 4`]);
});

test.each(['', 'not JSON', '12', 'null', '[]', '{"json_payload":1}'])(
  '%j is no line and counts for nothing',
  (line) => {
    expect(samplesOf('handler_seconds_count', [line])).toEqual([]);
  },
);

test('the command counts a file, and says what it cannot read', async () => {
  const folder = createTemporaryFolder();
  onTestFinished(() => folder.remove());
  const file = `${folder.path}/log.jsonl`;
  writeFileSync(file, '{"outcome":"ok","function":"maintenance","cold_start":true}\nanother line\n');

  const command = startScript('metrics', [file]);
  expect(await command.ended).toBe(0);
  expect(command.printed.stdout).toContain('\ncold_starts_total{function="maintenance"} 1\n');

  const wrong = startScript('metrics', [`${folder.path}/none`]);
  expect(await wrong.ended).toBe(1);
  expect(wrong.printed.stderr).toContain('ENOENT');
});

test('an entry of Cloud Logging counts like the line that it holds', () => {
  const entry = {
    level: 'INFO',
    message: 'm',
    json_payload: { outcome: 'ok', function: 'maintenance', cold_start: true },
  };

  expect(samplesOf('cold_starts_total', [JSON.stringify(entry)])).toEqual(['{function="maintenance"} 1']);
});
