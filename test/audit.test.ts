import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readAdvisories, readSignatures } from '#scripts/audit/audit-answers.ts';
import { startHttpServer } from './support/http-server.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const BULK_PATH = '/-/npm/v1/security/advisories/bulk';

/** Runs the script against a registry that knows these advisories; `undefined`: it answers none. */
async function audit(advisories: Readonly<Record<string, object>> | undefined, args: readonly string[] = []) {
  const registry = await startHttpServer(async (request, response) => {
    const body = await buffer(request);
    const isAnswered = advisories !== undefined && request.url === BULK_PATH;
    // As a registry does, only for packages that are asked about.
    const asked = isAnswered ? Object.keys(JSON.parse(gunzipSync(body).toString())) : [];
    const answer = Object.entries(advisories ?? {}).filter(([name]) => asked.includes(name));
    response.writeHead(isAnswered ? 200 : 405, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(Object.fromEntries(answer)));
  });
  // Not signatures: npm asks a host outside for the keys of its keys.
  // npm remembers advisories by their number.
  const cache = createTemporaryFolder();
  onTestFinished(cache.remove);
  const env = { npm_config_registry: registry, npm_config_cache: cache.path };
  const script = startScript('audit', ['advisories', ...args], env);
  return { status: await script.ended, stdout: script.printed.stdout };
}

const advisory = (severity: string) => ({
  id: 1,
  url: 'https://advisories.example.com/1',
  title: 'Obviously fake weakness',
  severity,
  vulnerable_versions: '<9999',
});

describe('npm run audit', () => {
  test('fails on a severe weakness of what is deployed, and names it', async () => {
    const { status, stdout } = await audit({ jose: [advisory('high')] });

    expect(status).toBe(1);
    expect(stdout).toContain('  jose: high: Obviously fake weakness, https://advisories.example.com/1\n');
  });

  test('goes on for a slight one, and for one of a tool', async () => {
    const { status, stdout } = await audit({ jose: [advisory('moderate')], vitest: [advisory('critical')] });

    expect(status).toBe(0);
    expect(stdout).toContain('clean: known weaknesses');
  });

  test('says so and goes on where the registry cannot be asked; with --require it fails', async () => {
    const answers = [await audit(undefined), await audit(undefined, ['--require'])];

    expect(answers.map(({ status }) => status)).toEqual([0, 1]);
    for (const { stdout } of answers) {
      expect(stdout).toMatch(/^not checked, the registry could not be asked: known weaknesses.*\n {2}405 /m);
    }
  });
});

describe('of what npm prints', () => {
  test('a weakness that another package brings names that package', () => {
    const vulnerabilities = { a: { name: 'a', severity: 'critical', via: ['b'] } };

    expect(readAdvisories(JSON.stringify({ auditReportVersion: 2, vulnerabilities }))).toEqual({
      status: 'findings',
      lines: ['a: critical: by b'],
    });
  });

  test('packages with a wrong signature or none are findings, and no others', () => {
    const [wrong, unsigned] = ['wrong', 'unsigned'].map((name) => ({ name, version: '1.0.0' }));

    expect(readSignatures(JSON.stringify({ invalid: [wrong], missing: [unsigned] }))).toEqual({
      status: 'findings',
      lines: ['wrong 1.0.0: its signature is wrong', 'unsigned 1.0.0: it has no signature'],
    });
    expect(readSignatures('{"invalid":[],"missing":[]}')).toEqual({ status: 'clean', lines: [] });
  });

  test.each(['', 'null', '{}', '[]', '{"auditReportVersion":', '{"invalid":[]}'])('"%s" says nothing', (printed) => {
    expect(readAdvisories(printed).status).toBe('unknown');
    expect(readSignatures(printed).status).toBe('unknown');
  });

  test('the password in an address is left out', () => {
    const printed = JSON.stringify({ error: { summary: 'request to https://u:canary@registry.example.com failed' } });

    expect(readAdvisories(printed).lines).toEqual(['request to https://registry.example.com failed']);
  });
});
