/** What an operator does with the outbox: list, show, replay. */
import * as z from 'zod/mini';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { JOB_BUDGET_MS, type Job, type Outbox } from '#shared/outbox/outbox.ts';
import { ask, isoTime, useDirectory } from './directory.ts';
import { readSettings } from './settings.ts';
import { confirm } from './terminal.ts';
import {
  defineVerb,
  EXIT,
  formatRows,
  formatTable,
  formatTime,
  readCount,
  readOption,
  UsageError,
  YES_OPTION,
} from './verb.ts';

/** Those that need an operator first. */
const STATES = ['set_aside', 'dead', 'pending', 'done'] as const;
const State = z.enum(STATES, 'must be pending, set_aside, done or dead');

/** How many jobs one call asks for. */
const PAGE = 100;

const JOB_OPERAND = { value: '<job id>', help: 'as outbox list and the log have it' } as const;

/** Lists jobs. */
export const listJobs = defineVerb({
  summary: 'list what is still to be done at other services, and what has become of it',
  options: {
    state: {
      type: 'string',
      value: '<state>',
      help: 'pending, set_aside, dead or done; without it all but those that are done',
    },
    limit: { type: 'string', value: '<jobs>', help: 'the most jobs: 1 to 10000, default 100' },
  },
  notes: `
  pending    waits for its time, or is being tried
  set_aside  has killed whoever tried it, three times: outbox replay tries it again
  dead       given up: the grant is still there, and its tokens are erased here
  done       for a week after it was done

Jobs of a state are listed by their age, the oldest first.
`,
  async run(values) {
    const states = values.state === undefined ? STATES.slice(0, -1) : [readOption('state', values.state, State)];
    const limit = readCount('limit', values.limit, { standard: 100, most: 10_000 });
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ outbox }, store) => {
      // One more than is shown tells whether there are more.
      const found = await findJobs(outbox, states, limit + 1);
      const [jobs, more] = [found.slice(0, limit), found.length > limit];
      const given = [
        ['store', store],
        ['jobs', more ? `the first ${limit}; --limit shows more` : String(jobs.length)],
      ] as const;
      const table = jobs.length === 0 ? '' : `\n${formatTable(COLUMNS, jobs.map(tableRow))}`;
      return { document: { jobs: jobs.map(jobFields), more, store }, text: `${formatRows(given)}${table}` };
    });
  },
});

/** Shows one job. */
export const showJob = defineVerb({
  summary: 'show one job, and what was tried',
  operand: JOB_OPERAND,
  options: {},
  notes: '',
  async run(values, id) {
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ outbox }, store) => {
      const job = await ask(() => outbox.find(id));
      const rows = [['store', store], ...(job === undefined ? [] : jobRows(job))] as const;
      return {
        document: { found: job !== undefined, ...(job !== undefined && jobFields(job)), store },
        text: `${job === undefined ? 'There is no such job.' : MEANING[job.state]}\n\n${formatRows(rows)}`,
        exitCode: job === undefined ? EXIT.absent : EXIT.done,
      };
    });
  },
});

/** Makes a job due at once. */
export const replayJob = defineVerb({
  summary: 'try a job again that waits or was set aside, now and for as long as a new one',
  operand: JOB_OPERAND,
  options: { yes: YES_OPTION },
  notes: `
maintenance tries it at its next run. What is being tried just now is tried once more: nothing is revoked twice.
`,
  async run(values, id) {
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    return await useDirectory(settings, async ({ outbox }, store) => {
      const job = await ask(() => outbox.find(id));
      assertReplayable(job);
      const budget = `with a new budget of ${JOB_BUDGET_MS / 3_600_000} hours`;
      const rows = [['store', store], ...jobRows(job)] as const;
      await confirm(`Makes a job due at once, ${budget}.\n\n${formatRows(rows)}\n`, values.yes);
      if (!(await ask(() => outbox.replay(id)))) assertReplayable(await ask(() => outbox.find(id)));
      return {
        document: { replayed: true, job_id: job.id, store },
        text: `The job is due now, ${budget}.\n\n${formatRows([
          ['store', store],
          ['job', job.id],
        ])}`,
      };
    });
  },
});

const MEANING = {
  pending: 'Waits for its time, or is being tried.',
  set_aside: 'Set aside: it has killed whoever tried it. outbox replay tries it again.',
  done: 'Done.',
  dead: 'Given up.',
} as const;

/** @throws {UsageError} */
function assertReplayable(job: Job | undefined): asserts job is Job {
  // What was given is not repeated: it may be a token that was taken for an id.
  if (job === undefined) throw new UsageError('Nothing was done: there is no such job.');
  if (job.state === 'done' || job.state === 'dead') {
    const state = job.state === 'done' ? 'done' : 'given up';
    throw new UsageError(`Nothing was done: the job is ${state}, its token is erased, and nothing can be replayed.`);
  }
}

/** At most `limit` jobs of these states, state by state. */
async function findJobs(outbox: Outbox, states: readonly Job['state'][], limit: number): Promise<readonly Job[]> {
  const jobs: Job[] = [];
  for (const state of states) {
    let after: Job | undefined;
    do {
      const page = { limit: Math.min(PAGE, limit - jobs.length), after };
      const found = page.limit === 0 ? [] : await ask(() => outbox.list(state, page));
      jobs.push(...found);
      after = found.length < page.limit ? undefined : found.at(-1);
    } while (after !== undefined);
  }
  return jobs;
}

const COLUMNS = ['job', 'state', 'kind', 'provider', 'tries', 'created at', 'due at', 'last error'];

function tableRow(job: Job): readonly string[] {
  const dueAt = job.state === 'pending' ? time(job.dueAt) : '';
  return [
    ...[job.id, job.state, job.kind, providerOf(job) ?? '', String(job.attemptsStarted)],
    ...[time(job.createdAt), dueAt, job.lastError ?? ''],
  ];
}

/** A job for people: nothing sealed, and not what that is bound to. */
function jobRows(job: Job): readonly (readonly [string, string | undefined])[] {
  const { fpType: _type, fpName: _name, ...details } = job.details;
  const isOver = job.state === 'done' || job.state === 'dead';
  return [
    ['job', job.id],
    ['kind', job.kind],
    ['state', job.state],
    ['result', 'result' in job ? job.result : undefined],
    ['provider', providerOf(job)],
    ...Object.entries(details),
    ['request id', job.requestId],
    ['tries', `${job.attemptsStarted} begun, ${job.attemptsFinished} ended`],
    ['last error', job.lastError],
    ['tokens', job.secret === undefined ? 'erased' : 'kept, sealed'],
    ['created at', time(job.createdAt)],
    ['due at', job.state === 'pending' ? time(job.dueAt) : undefined],
    ['given up at', isOver ? undefined : time(job.giveUpAt)],
    ['finished at', job.finishedAt === undefined ? undefined : time(job.finishedAt)],
  ];
}

/** A job for programs, the same. */
function jobFields(job: Job): Record<string, unknown> {
  return {
    ...{ job_id: job.id, kind: job.kind, state: job.state, result: 'result' in job ? job.result : undefined },
    ...{ details: job.details, job_request_id: job.requestId },
    ...{ attempts_started: job.attemptsStarted, attempts_finished: job.attemptsFinished },
    ...{ last_error: job.lastError, has_secret: job.secret !== undefined },
    ...{ created_at: isoTime(job.createdAt), due_at: isoTime(job.dueAt), give_up_at: isoTime(job.giveUpAt) },
    finished_at: job.finishedAt === undefined ? undefined : isoTime(job.finishedAt),
  };
}

function providerOf({ details: { fpType, fpName } }: Job): string | undefined {
  return fpType === undefined ? undefined : `${fpType}:${fpName}`;
}

function time(milliseconds: number): string {
  return formatTime(Math.floor(milliseconds / 1000));
}
