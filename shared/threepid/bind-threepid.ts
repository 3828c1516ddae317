import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import { isStoreUnavailable } from '../errors.ts';
import { askIdentityServer, type IdentityServerAnswer, unreadable } from './ask-identity-server.ts';
import { identifyUser } from './identify-user.ts';
import { MatrixError } from './matrix-error.ts';
import type { MatrixPorts } from './open-ports.ts';
import { type Deadline, type MatrixRequest, readBody, readIdServer, startDeadline } from './request.ts';
import { canonicalThreepid } from './threepid.ts';
import { isUnderWay, type OwnedThreepid, type Threepid, type ThreepidBinding } from './threepid-binding.ts';

/** How long an identity server may take to say what was validated, in milliseconds: the bind needs the rest. */
const VALIDATION_MS = 3000;

/** The most identity servers at which one identifier is bound: an unbind asks all of them at once. */
const MAX_SERVERS = 10;

/** The ids and secrets of validation sessions (https://spec.matrix.org/v1.15/appendices/#opaque-identifiers). */
const Opaque = z
  .string('must be a string')
  .check(z.regex(/^[0-9a-zA-Z.=_-]{1,255}$/, 'must be 1 to 255 of 0-9, a-z, A-Z, ".", "=", "_", "-"'));

const BindFields = z.object({
  client_secret: Opaque,
  id_access_token: z
    .string('must be a string')
    .check(z.regex(/^[\x21-\x7e]{1,8192}$/, 'must be 1 to 8192 visible ASCII characters')),
  id_server: z.string('must be a string'),
  sid: Opaque,
});
type BindFields = z.output<typeof BindFields>;

/**
 * Has an identity server bind the identifier that a user has validated there, and remembers it: before it is asked for,
 * so that no crash forgets it. What the server has definitely refused is not remembered; what is not known is.
 *
 * @throws {MatrixError} What the identity server said, or that it gave no answer.
 * @throws {Failure} The revocation store or the directory failed: nothing was bound.
 * @see https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidbind
 */
export async function bindThreepid(call: MatrixRequest, ports: MatrixPorts): Promise<void> {
  const deadline = startDeadline(call.remainingMs());
  const mxid = await identifyUser(call, deadline.serverMs(), ports);
  const fields = readBody(BindFields, call);
  const idServer = readIdServer(fields.id_server, ports.allowedServers, call);
  const threepid = await findValidated(fields, idServer, deadline, ports);
  const bind = { ...threepid, mxid, idServer, bindId: randomUUID(), state: 'pending', begunAt: ports.now() } as const;
  const earlier = await rememberPending(bind, deadline, ports);
  const answer = await requestBind({ mxid, ...fields }, idServer, deadline, ports);
  call.note({ id_servers: [`${idServer} ${answer.status}`] });
  if (answer.status === 'done') {
    await warnIfUnavailable(call, rememberBound(bind, earlier, deadline, ports));
    call.audit('threepid.bound', { subject: mxid, medium: bind.medium, id_server: idServer });
    return;
  }
  if (isDefinite(answer)) {
    const forget = deadline.useDirectory((timeoutMs) => ports.threepids.forget([bind], timeoutMs));
    await warnIfUnavailable(call, forget);
  }
  throw errorOf(answer);
}

/** What came of a bind is told though the directory fails: it is known as pending, durably, as good for an unbind. */
async function warnIfUnavailable({ warn }: MatrixRequest, change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    warn({ directory: error.fault });
  }
}

/** The identifier of a validation session: the bind itself names it only in its answer, which may be lost. */
async function findValidated(
  { client_secret, sid, id_access_token }: BindFields,
  idServer: string,
  deadline: Deadline,
  { sendToIdentityServer }: MatrixPorts,
): Promise<Threepid> {
  const query = new URLSearchParams({ client_secret, sid });
  const request = {
    method: 'GET',
    url: `https://${idServer}/_matrix/identity/v2/3pid/getValidated3pid?${query}`,
    headers: { Authorization: `Bearer ${id_access_token}` },
    timeoutMs: Math.min(VALIDATION_MS, deadline.serverMs()),
  } as const;
  const answer = await askIdentityServer(request, sendToIdentityServer);
  if (answer.status !== 'done') throw errorOf(answer);
  const { medium, address } = answer.body;
  const threepid =
    typeof medium === 'string' && typeof address === 'string' ? canonicalThreepid(medium, address) : undefined;
  if (threepid === undefined) throw unreadable();
  return threepid;
}

/** Remembers a bind before it is asked for, and returns those that it will make superfluous. */
async function rememberPending(
  bind: ThreepidBinding,
  deadline: Deadline,
  { threepids, now }: MatrixPorts,
): Promise<readonly ThreepidBinding[]> {
  const known = await deadline.useDirectory((timeoutMs) => threepids.find(bind, timeoutMs));
  const idServers = new Set([bind, ...known].map(({ idServer }) => idServer));
  if (idServers.size > MAX_SERVERS) throw tooMany();
  const earlier = known.filter((other) => other.idServer === bind.idServer && !isUnderWay(other, now()));
  // One of which nothing will ever be known says as much as many.
  const [, ...superfluous] = earlier.filter(({ state }) => state === 'pending');
  if (superfluous.length > 0) await deadline.useDirectory((timeoutMs) => threepids.forget(superfluous, timeoutMs));
  const isRemembered = await deadline.useDirectory((timeoutMs) => threepids.put(bind, timeoutMs));
  if (!isRemembered) throw tooMany();
  return earlier;
}

function tooMany(): MatrixError {
  return new MatrixError(403, 'M_FORBIDDEN', 'The account has as many identifiers bound as there may be.');
}

async function rememberBound(
  bind: ThreepidBinding,
  earlier: readonly ThreepidBinding[],
  deadline: Deadline,
  { threepids }: MatrixPorts,
): Promise<void> {
  await deadline.useDirectory((timeoutMs) => threepids.put({ ...bind, state: 'bound' }, timeoutMs));
  if (earlier.length > 0) await deadline.useDirectory((timeoutMs) => threepids.forget(earlier, timeoutMs));
}

function requestBind(
  { mxid, client_secret, sid, id_access_token }: BindFields & Pick<OwnedThreepid, 'mxid'>,
  idServer: string,
  deadline: Deadline,
  { sendToIdentityServer }: MatrixPorts,
): Promise<IdentityServerAnswer> {
  const request = {
    method: 'POST',
    url: `https://${idServer}/_matrix/identity/v2/3pid/bind`,
    headers: { Authorization: `Bearer ${id_access_token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ client_secret, mxid, sid }),
    timeoutMs: deadline.serverMs(),
  } as const;
  return askIdentityServer(request, sendToIdentityServer);
}

/** Whether it is known that nothing was bound. */
function isDefinite(answer: IdentityServerAnswer): boolean {
  return answer.status === 'refused' || (answer.status === 'unanswered' && answer.fault === 'forbidden');
}

function errorOf(answer: IdentityServerAnswer): MatrixError {
  return 'error' in answer ? answer.error : unreadable();
}
