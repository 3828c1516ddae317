import { createSecretKey } from 'node:crypto';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { type ProviderTokens, sealTokens } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import type { EncryptionKey } from '#shared/encryption.ts';
import type { RevocableProvider } from '#shared/grant-revocation/revocation-jobs.ts';
import type { RevocationClient } from '#shared/grant-revocation/revoke-grant.ts';
import type { Job, NewJob } from '#shared/outbox/outbox.ts';
import type { RunReport } from '#shared/outbox/run-due-jobs.ts';
import { loadPorts } from './load-ports.ts';
import { createTemporaryFolder } from './temporary-folder.ts';

const { createRevocationJobs, openSqliteDirectory, runDueJobs, send } = await loadPorts('sqlite');

/** When the hand-driven clock of a test begins. */
export const START_MS = 1_800_000_000_000;

/** A key of 32 equal letters. */
export function testKey(name: string, letter = 'e'): EncryptionKey {
  return { name, key: createSecretKey(Buffer.alloc(32, letter)) };
}

/** Our client at a provider's revocation endpoint. */
export function testClient(endpoint: string): RevocationClient {
  return { endpoint, clientId: 'our client', clientSecret: 'its:secret', authMethod: 'client_secret_basic' };
}

/** The provider `oidc:dev_1`. */
export function testProvider(endpoint: string): RevocableProvider {
  return { type: 'oidc', name: 'dev_1', revocation: testClient(endpoint) };
}

/** A job that withdraws a grant at {@link testProvider}. */
export function revocationJob(
  id: string,
  tokens: ProviderTokens = { refreshToken: `refresh-${id}`, accessToken: `access-${id}` },
  keys: readonly EncryptionKey[] = [testKey('k1')],
): NewJob {
  const boundTo = `bound to ${id}`;
  return {
    id,
    kind: 'grant-revocation',
    details: { subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid: `sid-${id}` },
    secret: sealTokens(tokens, boundTo, keys),
    boundTo,
    requestId: `request of ${id}`,
  };
}

/** A migrated SQLite directory of one test, in a file that other processes may open. */
export async function openTestDirectory(
  now: () => number = Date.now,
): Promise<{ readonly directory: Directory; readonly path: string }> {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'directory.sqlite');
  migrateSqlite(path);
  const directory = await openSqliteDirectory(path, { now });
  onTestFinished(async () => {
    await directory.close();
    folder.remove();
  });
  return { directory, path };
}

/** What an operator was told. */
export interface Alert extends Readonly<Record<string, unknown>> {
  readonly message: string;
}

/** The outbox of a SQLite directory and its runner, whose clock and chance are a test's. */
export interface OutboxRun {
  readonly directory: Directory;
  readonly path: string;
  /** The clock. */
  timeMs: number;
  /** What `random` returns. */
  chance: number;
  /** Where the provider of the jobs is. */
  endpoint: string;
  encryptionKeys: readonly EncryptionKey[];
  readonly alerts: Alert[];
  /** One run. @param attemptMs How long a try may take: as long as `runDueJobs` lets it, if not given. */
  run(attemptMs?: number): Promise<RunReport>;
  /** What is kept of a job. @throws {Error} There is none. */
  job(id: string): Promise<Job>;
}

/** Starts with an empty outbox; jobs are of the provider at `endpoint`. */
export async function startOutbox(endpoint: string): Promise<OutboxRun> {
  const { directory, path } = await openTestDirectory(() => outbox.timeMs);
  let runs = 0;
  const outbox: OutboxRun = {
    directory,
    path,
    timeMs: START_MS,
    chance: 0.5,
    endpoint,
    encryptionKeys: [testKey('k1')],
    alerts: [],
    run(attemptMs) {
      runs += 1;
      const now = () => outbox.timeMs;
      const { encryptionKeys } = outbox;
      const providers = [testProvider(outbox.endpoint)];
      const doJob = createRevocationJobs({ providers, encryptionKeys, send, now });
      // Asked before each claim and for each job.
      let asked = 0;
      const remainingMs = () => {
        asked += 1;
        return attemptMs === undefined || asked === 1 ? 60_000 : 2 * attemptMs;
      };
      const alert = (message: string, fields: object) => outbox.alerts.push({ message, ...fields });
      const ports = { outbox: directory.outbox, doJob, now, random: () => outbox.chance };
      return runDueJobs({ claim: `run-${runs}`, remainingMs, alert }, ports);
    },
    async job(id) {
      const job = await directory.outbox.find(id);
      if (job === undefined) throw new Error(`there is no job ${id}`);
      return job;
    },
  };
  return outbox;
}
