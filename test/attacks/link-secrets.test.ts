/** A25 of links.md: what is kept of a provider's tokens can neither be read nor used in another place. */
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TEST_KEYS } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { type LinkProject, providersAt, startLinkProject, system, user } from '#test/support/link-calls.ts';

const CANARY = 'canary-0123456789abcdef0123456789abcdef';

/** The functions and a provider that answers with everything it was told. */
async function start() {
  const provider = { received: [] as string[], status: 200 };
  const url = await startHttpServer((request, answer) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      provider.received.push(body);
      answer.writeHead(provider.status, { 'Content-Type': 'application/json' }).end(JSON.stringify({ error: body }));
    });
  });
  const blitz = await startLinkProject({ local: { PROVIDERS: providersAt(url) } });
  onTestFinished(() => blitz.close());
  return { blitz, provider };
}

async function importLink({ project }: LinkProject, subject: string, sid: string, accessToken: string): Promise<void> {
  const identity = { fpType: 'oidc', fpName: 'dev_1', sid };
  const directory = await openSqliteDirectory(project.database);
  await directory.links.link({
    ...{ ...identity, subject, evidence: 'proved' },
    tokens: sealTokens({ accessToken }, boundToLink({ ...identity, subject }), EncryptionKeys.parse(TEST_KEYS)),
    audit: { actor: 'operator', requestId: 'import' },
  });
  await directory.close();
}

function dump({ project }: LinkProject): string {
  const database = new DatabaseSync(project.database);
  const tables = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).all();
  const rows = tables.map(({ name }) => database.prepare(`SELECT * FROM ${name}`).all());
  database.close();
  return JSON.stringify(rows);
}

test('no answer, log line or row has a token in it, whatever the provider answers', async () => {
  const { blitz, provider } = await start();
  const ann = await user('ann');
  const answers: string[] = [];
  for (const [index, code] of [200, 400, 401, 500].entries()) {
    provider.status = code;
    await importLink(blitz, 'ann', `${index}`, `${CANARY}-${index}`);
    answers.push((await blitz.list(ann, 'ann')).body, (await blitz.list(await system(), 'ann')).body);
    answers.push((await blitz.unlink(ann, 'ann', `oidc/dev_1/${index}?view=full`)).body);
    answers.push((await blitz.unlink(ann, 'ann', `oidc/dev_1/${index}?view=full`)).body);
  }
  blitz.project.makeJobsDue();
  await blitz.project.tick();
  expect(provider.received.filter((body) => body.includes(CANARY)).length).toBeGreaterThanOrEqual(6);
  for (const text of [answers.join('\n'), blitz.project.output.join('\n'), dump(blitz)]) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(Buffer.from(CANARY).toString('base64url').slice(4, 40));
    expect(text).not.toContain('development-only');
  }
});

test('sealed tokens that are moved to another row open nothing there, and an operator is told', async () => {
  const { blitz, provider } = await start();
  await importLink(blitz, 'victim', 'of-the-victim', CANARY);
  await importLink(blitz, 'eve', 'of-eve', 'token-of-eve');
  const database = new DatabaseSync(blitz.project.database);
  database.exec(`
    UPDATE account_link SET tokens = (SELECT tokens FROM account_link WHERE sid = 'of-the-victim') WHERE sid = 'of-eve'`);
  database.close();
  provider.received.length = 0;
  blitz.project.output.length = 0;
  const answer = await blitz.unlink(await user('eve'), 'eve', 'oidc/dev_1/of-eve?view=full');
  expect(JSON.parse(answer.body)).toMatchObject({ revocation: 'pending' });
  expect(provider.received).toEqual([]);
  expect(await blitz.links(await user('victim'), 'victim')).toHaveLength(1);
});
