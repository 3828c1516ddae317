import { expect } from 'vitest';
import { boundToLink } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { loadPorts, type Ports } from '#test/support/load-ports.ts';

/** What is kept in a store: token revocations, or account links with the outbox. */
export type StoreKind = 'revocations' | 'directory';

/** A store object, and what it is asked under faults about an id of the test's own. */
export interface TestedStore {
  /** Brings about what the writes of this id need. May be repeated. */
  prepare(id: string, timeoutMs?: number): Promise<void>;
  /** Each resolves when it is durable. To repeat one is harmless: it resolves again. */
  readonly writes: readonly ((id: string, timeoutMs?: number) => Promise<void>)[];
  /** Of each of the writes, whether it shows. */
  read(id: string, timeoutMs?: number): Promise<readonly boolean[]>;
  /** Fails the test unless the writes of this id have left all that they have to leave, and nothing twice. */
  assertWhole(id: string): Promise<void>;
  close(): Promise<void>;
}

/** The variables that name a store. */
type StoreSettings = Parameters<Ports['sqlite']['openTokenRevocationStore']>[0];

/** Opens a store of this kind at its first use. */
export type OpenTestedStore = (kind: StoreKind, settings: StoreSettings) => TestedStore;

/** Loads what opens the stores of a backend as users run them. */
export async function loadTestedStores(name: keyof Ports): Promise<OpenTestedStore> {
  const ports = await loadPorts(name);
  return (kind, settings) => {
    if (kind === 'revocations') return testedRevocations(ports.openTokenRevocationStore(settings, LOCAL_PLATFORM));
    if (!('openDirectory' in ports)) throw new Error(`${name} keeps no directory`);
    return testedLinks(ports.openDirectory(settings, LOCAL_PLATFORM));
  };
}

function testedRevocations(store: TokenRevocationStore): TestedStore {
  return {
    prepare: async () => {},
    writes: [
      async (id, timeoutMs) => {
        await store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 }, timeoutMs);
      },
    ],
    async read(id, timeoutMs) {
      return [(await store.check({ tokenIds: [id], grants: [], cutOffKeys: [] }, timeoutMs)).revoked];
    },
    assertWhole: async () => {},
    close: () => store.close(),
  };
}

const TOKENS = 'sealed-tokens';

/** The id is a subject's, who links one account and unlinks another, which leaves a job. */
function testedLinks({ links, outbox, close }: Directory): TestedStore {
  const linkOf = (subject: string, account: 'linked' | 'unlinked') => ({
    ...{ subject, fpType: 'oidc', fpName: 'dev_1', sid: `${account}-${subject}` },
    audit: { actor: `subject:${subject}`, requestId: subject },
  });
  const jobId = (subject: string) => `job-${subject}`;

  return {
    async prepare(subject, timeoutMs) {
      await links.link({ ...linkOf(subject, 'unlinked'), evidence: 'proved', tokens: TOKENS }, timeoutMs);
      // DynamoDB Local acknowledges before its commit; what it lets read is committed.
      await links.list(subject, timeoutMs);
    },
    writes: [
      async (subject, timeoutMs) => {
        const outcome = await links.link({ ...linkOf(subject, 'linked'), evidence: 'asserted' }, timeoutMs);
        expect(outcome.status).toBe('linked');
      },
      async (subject, timeoutMs) => {
        const link = linkOf(subject, 'unlinked');
        const job = {
          ...({ id: jobId(subject), kind: 'grant-revocation', details: {} } as const),
          ...{ boundTo: boundToLink(link), requestId: subject },
        };
        const outcome = await links.unlink({ ...link, keepLast: false, force: false, job }, timeoutMs);
        if (outcome.status !== 'repeated') expect(outcome).toEqual({ status: 'unlinked', revocation: 'pending' });
        else expect(outcome.revocation).toEqual({ state: 'pending' });
      },
    ],
    async read(subject, timeoutMs) {
      const sids = (await links.list(subject, timeoutMs)).map(({ sid }) => sid);
      const has = (account: 'linked' | 'unlinked') => sids.includes(linkOf(subject, account).sid);
      return [has('linked'), !has('unlinked')];
    },
    async assertWhole(subject) {
      expect(await links.list(subject)).toMatchObject([{ sid: linkOf(subject, 'linked').sid }]);
      const job = {
        state: 'pending',
        secret: TOKENS,
        attemptsStarted: 0,
        boundTo: boundToLink(linkOf(subject, 'unlinked')),
      };
      expect(await outbox.find(jobId(subject))).toMatchObject(job);
    },
    close,
  };
}
