import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { doLongWork, Interrupted, type WorkPorts } from '#scripts/admin/long-work.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { logRevocation } from '#shared/token-revocation/store.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const keys = (name: string) => `${name}:${Buffer.alloc(32, name).toString('base64')}`;

/** So many that none is done with them before it is interrupted. */
const ROWS = 4000;
const INDEXES = Array.from({ length: ROWS }, (_, index) => index);

describe('an interrupt of', () => {
  let folder: string;
  let database: string;
  let beside: DatabaseSync;

  beforeEach(() => {
    const temporary = createTemporaryFolder();
    onTestFinished(temporary.remove);
    folder = temporary.path;
    database = join(folder, 'unlink.sqlite');
    migrateSqlite(database);
    beside = new DatabaseSync(database);
    onTestFinished(() => beside.close());
    beside.exec('PRAGMA busy_timeout = 10000; PRAGMA synchronous = OFF');
  });

  const count = (from: string) => Number(beside.prepare(`SELECT count(*) AS rows FROM ${from}`).get()?.rows);

  function write(name: string, lines: readonly string[]): string {
    const file = join(folder, name);
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
    return file;
  }

  function fill(table: string, row: (index: number) => readonly (string | number)[]): void {
    const places = row(0).map(() => '?');
    const insert = beside.prepare(`INSERT INTO ${table} VALUES (${places.join(', ')})`);
    beside.exec('BEGIN');
    for (const index of INDEXES) insert.run(...row(index));
    beside.exec('COMMIT');
  }

  /** A verb that has much to do, and how much of it is done. */
  interface Case {
    readonly args: readonly string[];
    readonly done: () => number;
  }

  const CASES: Readonly<Record<string, () => Case>> = {
    purge() {
      fill('revoked_id (id, revoked_at, expires_at)', (index) => [`id-${index}`, 1, 1]);
      return { args: ['purge', '--batch', '1', '--yes'], done: () => ROWS - count('revoked_id') };
    },
    'rebuild-revocations'() {
      const nowS = Math.floor(Date.now() / 1000);
      const lines = INDEXES.map((index) => {
        const tokenIds = [`k1.${String(index).padEnd(43, '_')}`];
        const revocation = logRevocation({ tokenIds, grants: [], cutOffs: [], expiresAt: nowS + 10_000 }, nowS);
        return JSON.stringify({ revocation, first: true, at: nowS });
      });
      return {
        args: ['rebuild-revocations', write('log.jsonl', lines), '--yes'],
        done: () => count('revoked_id'),
      };
    },
    'import-links'() {
      const lines = INDEXES.map((index) => `user-${index},vk,vk_1,${index}`);
      return {
        args: ['import-links', write('links.csv', ['subject,fpType,fpName,sid', ...lines]), '--yes'],
        done: () => count('account_link'),
      };
    },
    'import-bindings'() {
      const lines = INDEXES.map((index) => `@user-${index}:example.org,email,user-${index}@example.com,is.example.net`);
      return {
        args: ['import-bindings', write('binds.csv', ['user_id,medium,address,id_server', ...lines]), '--yes'],
        done: () => count('threepid_binding'),
      };
    },
    'rotate-keys'() {
      fill('account_link (subject, fp_type, fp_name, sid, evidence, linked_at, tokens)', (index) => {
        const link = { subject: `user-${index}`, fpType: 'vk', fpName: 'vk_1', sid: String(index) };
        const tokens = sealTokens({ accessToken: 'a' }, boundToLink(link), EncryptionKeys.parse(keys('k1')));
        return [link.subject, 'vk', 'vk_1', link.sid, 'asserted', 1, tokens ?? ''];
      });
      return { args: ['rotate-keys', '--batch', '10'], done: () => count("account_link WHERE tokens LIKE 'k2.%'") };
    },
  };

  /** Begins a verb, and sends it a signal in the midst of it. */
  async function interrupt({ args, done }: Case, signal: NodeJS.Signals) {
    const script = startScript('admin', args, {
      STORE_URL: `sqlite:${database}`,
      ENCRYPTION_KEYS: `${keys('k2')},${keys('k1')}`,
    });
    await vi.waitFor(() => expect(done()).toBeGreaterThan(0), { timeout: 20_000, interval: 1 });
    // It goes no further until it has got the signal.
    beside.exec('BEGIN IMMEDIATE');
    script.signal(signal);
    beside.exec('COMMIT');
    return { status: await script.ended, ...script.printed };
  }

  test.each(Object.keys(CASES))('%s ends it with status 130, and says how much of it was done', async (verb) => {
    const work = CASES[verb]?.() ?? { args: [], done: () => 0 };

    const { status, stdout, stderr } = await interrupt(work, 'SIGINT');

    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    const [, told = ''] = /^Interrupted: (\d+) (?:rows|texts) were .*Repeat the command\./m.exec(stderr) ?? [];
    expect(Number(told), stderr).toBe(work.done());
    expect(work.done()).toBeLessThan(ROWS);
  });

  test('import-links tells the request id of the rows that were linked', async () => {
    const { stderr } = await interrupt(CASES['import-links']?.() ?? { args: [], done: () => 0 }, 'SIGINT');

    const [, id = ''] = /The request id of these rows is (\S+)\.$/m.exec(stderr) ?? [];
    expect(count(`audit_record WHERE record LIKE '%${id}%'`)).toBe(count('account_link'));
  });

  test('purge by a store that fails is told with how much of it was done', async () => {
    const { args, done } = CASES.purge?.() ?? { args: [], done: () => 0 };
    const script = startScript('admin', args, { STORE_URL: `sqlite:${database}` });
    await vi.waitFor(() => expect(done()).toBeGreaterThan(0), { timeout: 20_000, interval: 1 });
    renameSync(database, `${database}.away`);

    expect(await script.ended).toBe(3);

    const deleted = /^The store failed \(unreachable\): (\d+) rows were deleted\. Repeat the command\.\n$/;
    expect(script.printed.stderr).toMatch(deleted);
    expect(done() - Number(deleted.exec(script.printed.stderr)?.[1])).toBeLessThanOrEqual(1);
  });

  test('purge by SIGTERM ends it with status 143', async () => {
    const { status, stderr } = await interrupt(CASES.purge?.() ?? { args: [], done: () => 0 }, 'SIGTERM');

    expect({ status, stderr }).toEqual({
      status: 143,
      stderr: expect.stringMatching(/^Interrupted: \d+ rows were deleted\. Repeat the command\.\n$/),
    });
  });
});

describe('long work', () => {
  /** Surroundings in which a test says what time it is and who interrupts. */
  function createPorts(isTerminal: boolean) {
    const told: string[] = [];
    let tick: (() => void) | undefined;
    let listener: ((signal: 'SIGINT') => void) | undefined;
    const ports: WorkPorts = {
      isTerminal,
      repeat(work) {
        tick = work;
        return () => {
          tick = undefined;
        };
      },
      onInterrupt(given) {
        listener = given;
        return () => {
          listener = undefined;
        };
      },
      tell: (sentence) => told.push(sentence),
    };
    return { ports, told, passTime: () => tick?.(), interrupt: () => listener?.('SIGINT') };
  }

  let rows = 0;
  const report = { progress: () => `${rows} rows`, done: () => `${rows} rows were done.` };

  beforeEach(() => {
    rows = 0;
  });

  test('tells every few seconds how far it is, where there is no terminal, and no more when it has ended', async () => {
    const { ports, told, passTime } = createPorts(false);

    await doLongWork(
      report,
      async () => {
        passTime();
        rows = 5;
        passTime();
      },
      ports,
    );
    passTime();

    expect(told).toEqual(['0 rows', '5 rows']);
  });

  test('tells nothing so at a terminal', async () => {
    const { ports, told, passTime } = createPorts(true);

    await doLongWork(report, async () => passTime(), ports);

    expect(told).toEqual([]);
  });

  test('stops telling when it fails', async () => {
    const { ports, told, passTime } = createPorts(false);
    const failure = new Error('a failure');

    await expect(doLongWork(report, () => Promise.reject(failure), ports)).rejects.toBe(failure);
    passTime();

    expect(told).toEqual([]);
  });

  test('that is interrupted is told to stop, and rejects with what was done by then', async () => {
    const { ports, interrupt } = createPorts(false);

    const work = doLongWork(
      report,
      async ({ signal }) => {
        interrupt();
        expect(signal.aborted).toBe(true);
        rows = 7;
      },
      ports,
    );

    const interrupted = await work.catch((error: unknown) => error);
    expect(interrupted).toBeInstanceOf(Interrupted);
    expect(interrupted).toMatchObject({ message: 'Interrupted: 7 rows were done.', exitCode: 130 });
  });
});
