import { deadlineIn } from '../../databases/deadline.ts';
import {
  type Action,
  createPurge,
  createRetriesInVain,
  type DynamodbOptions,
  type Item,
  integerOf,
  keyPart,
  numberValue,
  openDynamodb,
  pauseBeforeRetry,
  timeToLive,
} from '../../databases/dynamodb.ts';
import {
  assertRevocation,
  type CutOff,
  furthestCutOff,
  MAX_REVOCATION_ITEMS,
  NEVER,
  type PresentedToken,
  type RecordedRevocation,
  type Revocation,
  type RevocationStatus,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

/**
 * A row's attributes: `id`, its key; `t`, of an id or grant when it was first revoked, of a cut-off what it is issued
 * up to; `e`, when it expires; `ttl`, the same for the server, which may need days to collect it. Until then it counts
 * as absent here.
 */
type Row = { readonly t: number; readonly e: number };
/** What is known to be there, by key; not what has expired. */
type Rows = ReadonlyMap<string, Row>;

const PREFIX = 'revoked-';
/** Before every time: a token without a time of issue was issued before each cut-off. */
const NO_TIME = Number.MIN_SAFE_INTEGER;

/**
 * A store in one table behind the DynamoDB API: YDB's Document API or DynamoDB. After an answer that was lost, `first`
 * may be false for the call that was the first.
 *
 * @param url `dynamodb+https://host/path?table=&auth=iam`, or `…&auth=sigv4&region=`.
 * @throws {Misconfigured} Says what is wrong with the URL, never its value.
 */
export async function openDynamodbStore(
  url: string,
  { now = Date.now, ...options }: DynamodbOptions & { now?: () => number } = {},
): Promise<TokenRevocationStore> {
  const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, options);
  const currentTime = () => Math.floor(now() / 1000);
  /** The keys that revocations of this instance are about. */
  const underWay = new Set<string>();
  const purge = createPurge(client, TOKEN_REVOCATION_SCHEMA, 'e <= :now', PREFIX);

  async function read(keys: readonly string[], time: number, until: number): Promise<Rows> {
    const items = await client.read(keys, until);
    const rows = [...items].map(([key, item]) => [key, { t: integerOf(item.t), e: integerOf(item.e) }] as const);
    return new Map(rows.filter(([, { e }]) => e > time));
  }

  async function record(
    revocation: Revocation,
    assumed: Rows,
    time: number,
    until: number,
  ): Promise<RecordedRevocation> {
    let known = assumed;
    const retryInVain = createRetriesInVain(until);
    for (let attempt = 0; ; attempt += 1) {
      const { actions, recorded } = plan(revocation, known, time);
      if (actions.every(({ put }) => put === undefined)) return recorded;
      const outcome = await client.write(actions, until);
      if (outcome === 'done') return recorded;
      if (attempt > 0) await pauseBeforeRetry(attempt, until);
      const found = await read(keysOfRevocation(revocation), time, until);
      if (outcome === 'cancelled' && isEqual(known, found)) await retryInVain();
      known = found;
    }
  }

  return {
    async revoke(revocation, timeoutMs) {
      assertRevocation(revocation);
      const until = deadlineIn(timeoutMs);
      const time = timeOfRevocation(revocation, currentTime());
      const keys = keysOfRevocation(revocation);
      const isUnderWay = keys.some((key) => underWay.has(key));
      for (const key of keys) underWay.add(key);
      try {
        // Most revocations are new: the first write assumes that nothing is there, its conditions prove it, and only
        // when it is cancelled something has to be read. While the same is under way here, reading first is cheaper.
        return await record(revocation, isUnderWay ? await read(keys, time, until) : new Map(), time, until);
      } finally {
        for (const key of keys) underWay.delete(key);
      }
    },

    async check(token, timeoutMs) {
      return status(token, await read(keysOfToken(token), currentTime(), deadlineIn(timeoutMs)));
    },

    purgeExpired: (limit) => purge(currentTime(), limit),

    async close() {
      client.close();
    },
  };
}

/** What still has to be written, each part only if it is as `known` says, and what is answered when it was. */
function plan(revocation: Revocation, known: Rows, time: number): { actions: Action[]; recorded: RecordedRevocation } {
  const { tokenIds, grants, grantsExpireAt = NEVER, expiresAt, presented = NO_TOKEN } = revocation;
  const wasRevoked = status(presented, known).revoked;
  const wasCutOff = isCutOff(presented, known);
  const ids = [...tokenIds, ...grants];
  const knownSince = [...presented.tokenIds, ...presented.grants, ...ids].flatMap(
    (id) => known.get(idKey(id))?.t ?? [],
  );
  const at = Math.min(time, ...knownSince);
  const furthest = wasRevoked ? furthestCutOff(revocation, at) : Number.POSITIVE_INFINITY;
  // The latest comes last, here and below: of two of one key it is the one that is written.
  const expiries = [
    ...tokenIds.map((id) => [id, expiresAt] as const),
    ...grants.map((id) => [id, grantsExpireAt] as const),
  ].toSorted(([, a], [, b]) => a - b);
  const cutOffs = (wasCutOff ? [] : revocation.cutOffs)
    .map(({ key, issuedUpTo }) => ({ key, issuedUpTo: Math.min(issuedUpTo, furthest) }))
    .toSorted((a, b) => a.issuedUpTo - b.issuedUpTo);
  const unmet = wasRevoked ? { ...presented, tokenIds: [], grants: [] } : presented;
  const actions = [
    ...(wasCutOff ? [] : checks(unmet, time)),
    ...expiries.flatMap(([id, e]) => recordId(id, e, known, time)),
    ...cutOffs.flatMap((cutOff) => moveCutOff(cutOff, { ...revocation, presented }, known, time)),
  ];
  // A transaction takes one action an item: what is written is checked by its own condition.
  const byKey = new Map(actions.map((action) => [action.key, action]));
  if (byKey.size > MAX_REVOCATION_ITEMS) {
    throw new RangeError(`a revocation and its presented token have more than ${MAX_REVOCATION_ITEMS} keys`);
  }

  const isMoved = ({ key, issuedUpTo }: CutOff) => issuedUpTo > (known.get(cutOffKey(key))?.t ?? NO_TIME);
  const first = !wasRevoked && (ids.length > 0 ? knownSince.length === 0 : cutOffs.some(isMoved));
  return { actions: [...byKey.values()], recorded: { first, at } };
}

/** That what is presented is not revoked, when it is written. */
function checks({ tokenIds, grants, cutOffKeys, issuedAt = NO_TIME }: PresentedToken, time: number): Action[] {
  return [
    ...[...tokenIds, ...grants].map((id) => ({ key: idKey(id), ...ifAbsent(time) })),
    ...cutOffKeys.map((key) => ({ key: cutOffKey(key), ...ifAbsentOrBefore(issuedAt, NEVER, time) })),
  ];
}

function recordId(id: string, e: number, known: Rows, time: number): Action[] {
  const key = idKey(id);
  const row = known.get(key);
  if (row === undefined) return [{ key, put: attributes({ t: time, e }), ...ifAbsent(time) }];
  return e > row.e ? [{ key, put: attributes({ t: row.t, e }), ...ifStill(row) }] : [];
}

function moveCutOff(
  { key: name, issuedUpTo }: CutOff,
  { expiresAt, presented }: Revocation & { readonly presented: PresentedToken },
  known: Rows,
  time: number,
): Action[] {
  const key = cutOffKey(name);
  const row = known.get(key);
  if (row === undefined) {
    const { issuedAt = NO_TIME } = presented;
    const before = presented.cutOffKeys.includes(name) ? Math.min(issuedUpTo, issuedAt) : issuedUpTo;
    const put = attributes({ t: issuedUpTo, e: expiresAt });
    return [{ key, put, ...ifAbsentOrBefore(before, expiresAt, time) }];
  }
  const next = { t: Math.max(row.t, issuedUpTo), e: Math.max(row.e, expiresAt) };
  return next.t > row.t || next.e > row.e ? [{ key, put: attributes(next), ...ifStill(row) }] : [];
}

function status({ tokenIds, grants, cutOffKeys, issuedAt }: PresentedToken, known: Rows): RevocationStatus {
  if (tokenIds.some((id) => known.has(idKey(id)))) return { revoked: true, by: 'token' };
  if (grants.some((id) => known.has(idKey(id)))) return { revoked: true, by: 'grant' };
  return isCutOff({ cutOffKeys, issuedAt }, known) ? { revoked: true, by: 'cut_off' } : { revoked: false };
}

function isCutOff({ cutOffKeys, issuedAt }: Pick<PresentedToken, 'cutOffKeys' | 'issuedAt'>, known: Rows): boolean {
  return cutOffKeys.some((key) => {
    const cutOff = known.get(cutOffKey(key));
    return cutOff !== undefined && (issuedAt === undefined || issuedAt <= cutOff.t);
  });
}

function isEqual(known: Rows, found: Rows): boolean {
  return (
    known.size === found.size &&
    [...known].every(([key, { t, e }]) => found.get(key)?.t === t && found.get(key)?.e === e)
  );
}

const NO_TOKEN: PresentedToken = { tokenIds: [], grants: [], cutOffKeys: [] };

function ifAbsent(time: number) {
  return { condition: 'attribute_not_exists(id) OR e <= :now', values: { ':now': numberValue(time) } };
}

/** Or it is a cut-off of before `t` that does not outlive `e`. */
function ifAbsentOrBefore(t: number, e: number, time: number) {
  const condition = 'attribute_not_exists(id) OR e <= :now OR (t < :t AND e <= :e)';
  return { condition, values: { ':now': numberValue(time), ':t': numberValue(t), ':e': numberValue(e) } };
}

function ifStill({ t, e }: Row) {
  return { condition: 't = :t AND e = :e', values: { ':t': numberValue(t), ':e': numberValue(e) } };
}

function attributes({ t, e }: Row): Item {
  return { t: numberValue(t), e: numberValue(e), ...timeToLive(e) };
}

function keysOfRevocation({ tokenIds, grants, cutOffs, presented = NO_TOKEN }: Revocation): string[] {
  return [...keysOfToken({ tokenIds, grants, cutOffKeys: cutOffs.map(({ key }) => key) }), ...keysOfToken(presented)];
}

function keysOfToken({ tokenIds, grants, cutOffKeys }: PresentedToken): string[] {
  return [...tokenIds.map(idKey), ...grants.map(idKey), ...cutOffKeys.map(cutOffKey)];
}

function idKey(id: string): string {
  return `${PREFIX}id${keyPart(id)}`;
}

function cutOffKey(key: string): string {
  return `${PREFIX}cut-off${keyPart(key)}`;
}
