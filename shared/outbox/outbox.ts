/**
 * The outbox: what is still to be done at another service. A job is written in the transaction of what caused it, so
 * neither is without the other, and it is tried until it is settled.
 *
 * Terms. *Due*: its time has come and nobody has it. *Claim*: who has it until its lease ends; a runner that dies loses
 * it by time alone. *Attempt*: counted when it starts and again when it finishes, so that a job which kills its runner
 * is known by the difference. All times are milliseconds since the epoch.
 */
export interface Outbox {
  /**
   * Writes a job unless its id is known, and says whether it has. One that was given up is written anew: it had lost its
   * secret, which is here again. Resolves when it is durable.
   */
  add(job: NewJob, timeoutMs?: number): Promise<boolean>;

  /**
   * Claims due jobs, the longest due first, and counts the attempt that begins: no two claims have the same job at once.
   * Unverified jobs ({@link isUnverified}) come last, however long they are due: a claim has one only if it has room left.
   *
   * @param claim The name of who has them, used for no other claim.
   */
  claim(claim: string, limits: { readonly jobs: number; readonly leaseMs: number }): Promise<readonly OwnedJob[]>;

  /**
   * Records how the attempt ended, if the job is still the claim's; the secret is erased with a final state.
   *
   * @returns false: the lease had ended and somebody else has the job, or has settled it.
   */
  settle(job: Pick<OwnedJob, 'id' | 'claim'>, settlement: Settlement, timeoutMs?: number): Promise<boolean>;

  /** A job, or undefined when there is none. */
  find(id: string): Promise<Job | undefined>;

  /** The jobs of a state, the oldest first, from behind the job `after` on. */
  list(state: JobState['state'], page: { readonly limit: number; readonly after?: Job | undefined }): Promise<Job[]>;

  /** Makes a job that is pending or set aside due at once, with a new budget; false: there is no such job. */
  replay(id: string): Promise<boolean>;
}

/** An outbox that is opened alone. */
export interface OutboxStore extends Outbox {
  /** Lets go of the connection. May be called twice. */
  close(): Promise<void>;
}

/** What is to be done. */
export interface NewJob {
  readonly id: string;
  readonly kind: JobKind;
  /** What the kind needs to know; nothing secret. */
  readonly details: Readonly<Record<string, string>>;
  /** What the kind needs and nobody may read, sealed. Of an unlink: the tokens of the link, which the store puts in. */
  readonly secret?: string | undefined;
  /** What the secret is bound to: the associated data of its encryption. */
  readonly boundTo: string;
  readonly requestId: string;
  /** Who will try it at once; without it, it is due at once. */
  readonly claim?: { readonly name: string; readonly leaseMs: number } | undefined;
}

/**
 * `grant-revocation`: of a link at an external provider. `upstream-revocation`: at our own authorization server.
 * `unverified-upstream-revocation`: the same, of a token that nobody vouched for.
 */
export type JobKind = 'grant-revocation' | 'upstream-revocation' | typeof UNVERIFIED_KIND;

/** The kind that is claimed last. The indexes of the SQL databases name it too. */
export const UNVERIFIED_KIND = 'unverified-upstream-revocation';

/** Whether the job is of a token that nobody vouched for: anybody can cause one, and no other job may wait for it. */
export function isUnverified({ kind }: Pick<NewJob, 'kind'>): boolean {
  return kind === UNVERIFIED_KIND;
}

/** Compares jobs for sorting: those that are unverified come last. */
export function compareRank(a: Pick<NewJob, 'kind'>, b: Pick<NewJob, 'kind'>): number {
  return Number(isUnverified(a)) - Number(isUnverified(b));
}

/** What has become of a job. */
export type JobState =
  /** Waits for its time, or is being tried. */
  | { readonly state: 'pending' }
  /** An operator has to look at it: it killed its runner. */
  | { readonly state: 'set_aside' }
  | { readonly state: 'done'; readonly result: string }
  /** Given up. */
  | { readonly state: 'dead'; readonly result: string };

/** A job as it is kept. */
export type Job = Pick<NewJob, 'id' | 'kind' | 'details' | 'secret' | 'boundTo' | 'requestId'> &
  JobState & {
    readonly attemptsStarted: number;
    readonly attemptsFinished: number;
    /** When it is due, or when the lease ends of who has it. */
    readonly dueAt: number;
    readonly createdAt: number;
    /** When it is given up. */
    readonly giveUpAt: number;
    readonly lastError?: string | undefined;
    readonly finishedAt?: number | undefined;
  };

/** A job that somebody has claimed. */
export interface OwnedJob extends Omit<NewJob, 'claim'> {
  readonly claim: string;
  /** This attempt included. */
  readonly attemptsStarted: number;
  readonly attemptsFinished: number;
  readonly createdAt: number;
  readonly giveUpAt: number;
}

/** How an attempt ended. */
export type Settlement =
  | { readonly state: 'pending'; readonly dueAt: number; readonly error: string }
  | { readonly state: 'set_aside'; readonly error: string }
  | { readonly state: 'done'; readonly result: string }
  | { readonly state: 'dead'; readonly result: string; readonly error: string };

/** How long a job is tried. */
export const JOB_BUDGET_MS = 48 * 3_600_000;

/** How long a job is known after its end: longer than a tombstone that tells of it. */
export const SETTLED_JOB_MS = 7 * 86_400_000;

/** The outbox of a store that is opened at its first use: `use` opens it. */
export function outboxOnDemand(use: <Result>(work: (outbox: Outbox) => Promise<Result>) => Promise<Result>): Outbox {
  return {
    add: (...args) => use((outbox) => outbox.add(...args)),
    claim: (...args) => use((outbox) => outbox.claim(...args)),
    settle: (...args) => use((outbox) => outbox.settle(...args)),
    find: (...args) => use((outbox) => outbox.find(...args)),
    list: (...args) => use((outbox) => outbox.list(...args)),
    replay: (...args) => use((outbox) => outbox.replay(...args)),
  };
}

/** What has become of a job, and nothing else of it. */
export function jobStateOf(job: JobState): JobState {
  return 'result' in job ? { state: job.state, result: job.result } : { state: job.state };
}
