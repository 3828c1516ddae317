/** What is counted of the functions' log lines: one list for the command, the document, and the tests that hold both. */
import type { RefusalReason } from '#shared/access-token/verify.ts';
import type { BindErrorCode } from '#shared/bind/bind.ts';
import type { StoreFault } from '#shared/errors.ts';
import type { GrantRevocationResult } from '#shared/grant-revocation/revoke-grant.ts';
import type { JobKind, JobState } from '#shared/outbox/outbox.ts';
import type { RunReport } from '#shared/outbox/run-due-jobs.ts';
import type { OutgoingFault } from '#shared/outgoing/send.ts';
import type { UnbindResult } from '#shared/threepid/unbind-threepid.ts';

/** A metric, and the lines that it is made of. */
export interface MetricDefinition {
  readonly name: string;
  /** Of a histogram, seconds of a field in milliseconds. */
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** A line counts where each of these fields has one of the values, or any. */
  readonly where: Readonly<Record<string, readonly string[] | 'any'>>;
  /** The field that is measured; the lines are counted if not given. */
  readonly value?: string;
  /** The fields that tell its series apart. */
  readonly labels: readonly LabelName[];
}

/** A field that may be a label. */
export type LabelName = keyof typeof LABELS;

/** What every label can be: no user's data is in one. `configured`: what PROVIDERS names. */
export const LABELS = {
  function: [
    ...['smart-home-unlink', 'token-authorize', 'token-revoke', 'token-introspect', 'maintenance'],
    ...['external-provider-list', 'external-provider-link', 'external-provider-delete', 'external-provider-bind'],
    ...['social-unlink', 'threepid-unbind', 'threepid-bind'],
  ],
  outcome: ['ok', 'denied', 'error'],
  first: ['true', 'false'],
  provider: 'configured',
  reason: namesOf<
    | RefusalReason
    | 'missing'
    | 'inactive'
    | 'no_user'
    | 'sender_constrained'
    | 'too_old'
    | `revoked_by_${'token' | 'grant' | 'cut_off'}`
  >({
    algorithm_not_allowed: true,
    bad_claims: true,
    bad_signature: true,
    expired: true,
    id_token: true,
    inactive: true,
    malformed: true,
    missing: true,
    no_user: true,
    not_yet_valid: true,
    refresh_token: true,
    revoked_by_cut_off: true,
    revoked_by_grant: true,
    revoked_by_token: true,
    row_rule: true,
    sender_constrained: true,
    too_old: true,
    unknown_issuer: true,
    unmarked: true,
    unusable_key: true,
    wrong_audience: true,
    wrong_client: true,
    wrong_type: true,
  }),
  store_fault: namesOf<StoreFault>({
    busy: true,
    closed: true,
    corrupt: true,
    full: true,
    not_migrated: true,
    pooled: true,
    read_only: true,
    refused: true,
    timed_out: true,
    unreachable: true,
    unsafe: true,
  }),
  outgoing_fault: namesOf<OutgoingFault>({
    forbidden: true,
    malformed: true,
    redirected: true,
    timed_out: true,
    tls: true,
    too_large: true,
    unreachable: true,
  }),
  revocation: namesOf<GrantRevocationResult>({
    revoked: true,
    already_revoked: true,
    accepted_unverified: true,
    unsupported: true,
    no_token: true,
    skipped_shared_grant: true,
    pending: true,
    failed: true,
  }),
  fa_status: ['success', 'confirm', 'cancelled', 'error'],
  fa_error: namesOf<BindErrorCode>({
    access_denied: true,
    already_linked_other_user: true,
    browser_mismatch: true,
    invalid_code: true,
    issuer_mismatch: true,
    limit_reached: true,
    nonce_mismatch: true,
    profile_unavailable: true,
    provider_disabled: true,
    provider_mismatch: true,
    provider_unavailable: true,
    state_expired: true,
    state_missing: true,
    state_used: true,
    user_mismatch: true,
  }),
  kind: namesOf<JobKind>({
    'grant-revocation': true,
    'upstream-revocation': true,
    'unverified-upstream-revocation': true,
  }),
  state: namesOf<JobState['state']>({ pending: true, set_aside: true, done: true, dead: true }),
  result: namesOf<keyof RunReport | UnbindResult>({
    done: true,
    put_off: true,
    dead: true,
    set_aside: true,
    lost: true,
    success: true,
    'no-support': true,
  }),
} as const satisfies Record<string, readonly string[] | 'configured'>;

/** Of a call's own line, which alone has an outcome. */
const CALL = { outcome: 'any' } as const;

/** The list. */
export const METRICS: readonly MetricDefinition[] = [
  {
    name: 'handler_seconds',
    type: 'histogram',
    help: 'calls, and how long they took',
    where: CALL,
    value: 'duration_ms',
    labels: ['function', 'outcome'],
  },
  {
    name: 'cold_starts_total',
    type: 'counter',
    help: 'calls that a new instance has answered',
    where: { ...CALL, cold_start: ['true'] },
    labels: ['function'],
  },
  {
    name: 'unlink_requests_total',
    type: 'counter',
    help: 'calls to end a link',
    where: {
      ...CALL,
      operation: [
        ...['unlink', 'smart-home-unlink'],
        ...['external-provider.delete', 'external-provider-delete', 'external-provider-delete.v2'],
        ...['social.unlink', 'social-unlink'],
      ],
    },
    labels: ['function', 'outcome'],
  },
  {
    name: 'revocations_total',
    type: 'counter',
    help: 'tokens revoked; first=false: again',
    where: { ...CALL, first: 'any' },
    labels: ['function', 'first'],
  },
  {
    name: 'grant_revocations_total',
    type: 'counter',
    help: 'links deleted, by what became of the grant at once',
    where: { ...CALL, function: ['external-provider-delete', 'social-unlink'], revocation: 'any' },
    labels: ['provider', 'revocation'],
  },
  {
    name: 'idempotent_replays_total',
    type: 'counter',
    help: 'deletions that were repeated',
    where: { ...CALL, repeated: ['true'] },
    labels: ['function'],
  },
  {
    name: 'authorizer_decisions_total',
    type: 'counter',
    help: 'credentials that were let in, or refused and why',
    where: { ...CALL, function: ['token-authorize'] },
    labels: ['outcome', 'reason'],
  },
  {
    name: 'store_errors_total',
    type: 'counter',
    help: 'calls that failed because a store did',
    where: { ...CALL, store_fault: 'any' },
    labels: ['function', 'store_fault'],
  },
  {
    name: 'outgoing_errors_total',
    type: 'counter',
    help: 'calls that failed because another service did; forbidden: a host that may not be asked (SSRF)',
    where: { ...CALL, outgoing_fault: 'any' },
    labels: ['function', 'outgoing_fault'],
  },
  {
    name: 'bind_started_total',
    type: 'counter',
    help: 'binds that were begun',
    where: { outcome: ['ok'], operation: ['external-provider.bind', 'external-provider-bind'] },
    labels: ['provider'],
  },
  {
    name: 'bind_finished_total',
    type: 'counter',
    help: 'binds that came to an end in the browser',
    where: { ...CALL, fa_status: 'any' },
    labels: ['provider', 'fa_status', 'fa_error'],
  },
  {
    name: 'state_replay_total',
    type: 'counter',
    help: 'states of binds that were used before, or never given out',
    where: { ...CALL, fa_error: ['state_used', 'state_missing'] },
    labels: ['fa_error'],
  },
  {
    name: 'unbind_total',
    type: 'counter',
    help: 'unbinds that were answered; those that failed are in handler_seconds',
    where: { ...CALL, function: ['threepid-unbind'], result: 'any' },
    labels: ['result'],
  },
  {
    name: 'outbox_depth',
    type: 'gauge',
    help: 'jobs of a state, each minute; 100 stands for as many or more, dead ones are kept for 7 days',
    where: { metric: ['outbox_depth'] },
    value: 'value',
    labels: ['state'],
  },
  {
    name: 'outbox_oldest_age_seconds',
    type: 'gauge',
    help: 'since when the oldest pending job waits, each minute',
    where: { metric: ['outbox_oldest_age_seconds'] },
    value: 'value',
    labels: [],
  },
  {
    name: 'outbox_attempts_total',
    type: 'counter',
    help: 'tries by the timer',
    where: { metric: ['outbox_attempts_total'] },
    labels: ['kind', 'provider', 'result'],
  },
  {
    name: 'outbox_alerts_total',
    type: 'counter',
    help: 'jobs given up (dead), set aside, or waiting for an operator (pending)',
    where: { job_id: 'any' },
    labels: ['kind', 'provider', 'state'],
  },
];

/** The names of a union, each of which must be there. */
function namesOf<Name extends string>(names: Readonly<Record<Name, true>>): readonly string[] {
  return Object.keys(names);
}
