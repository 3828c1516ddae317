import * as z from 'zod/mini';
import { askIdentityServer, type IdentityServerAnswer } from './ask-identity-server.ts';
import { identifyUser } from './identify-user.ts';
import { MatrixError } from './matrix-error.ts';
import type { SigningPorts } from './open-ports.ts';
import { type MatrixRequest, readBody, readIdServer, startDeadline } from './request.ts';
import { canonicalJson, signRequest } from './signing.ts';
import { canonicalThreepid } from './threepid.ts';
import { isUnderWay, type OwnedThreepid } from './threepid-binding.ts';

const PATH = '/_matrix/identity/v2/3pid/unbind';

const TEXT_RULE = 'must be a string';

const UnbindFields = z.object({
  medium: z.enum(['email', 'msisdn'], 'must be "email" or "msisdn"'),
  address: z.string(TEXT_RULE),
  id_server: z.nullish(z.string(TEXT_RULE)),
});

/** What came of an unbind, in the words of the protocol. */
export type UnbindResult = 'success' | 'no-support';

/**
 * Unbinds a user's identifier at the identity server that they name, or else at every one where it is known to be bound,
 * all at once. A server that has done it is forgotten, durably, whatever the others say.
 *
 * @returns `success`: all of them have done it. `no-support`: one does not support it, or none is known.
 * @throws {MatrixError} Where one has refused or failed: of several what a server said itself, before 504, before 502.
 * @throws {Failure} The revocation store or the directory failed; a server may have unbound it, and to repeat the call
 *   is safe.
 * @see https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidunbind
 */
export async function unbindThreepid(call: MatrixRequest, ports: SigningPorts): Promise<UnbindResult> {
  const deadline = startDeadline(call.remainingMs());
  const mxid = await identifyUser(call, deadline.serverMs(), ports);
  const { medium, address, id_server } = readBody(UnbindFields, call);
  const threepid = canonicalThreepid(medium, address);
  if (threepid === undefined) {
    throw new MatrixError(
      400,
      'M_INVALID_PARAM',
      `The key address must be ${medium === 'email' ? 'an e-mail address' : 'a phone number'}.`,
    );
  }
  const given = id_server ? readIdServer(id_server, ports.allowedServers, call) : undefined;
  const owned = { mxid, ...threepid };
  const known = await deadline.useDirectory((timeoutMs) => ports.threepids.find(owned, timeoutMs));
  const idServers = given === undefined ? [...new Set(known.map(({ idServer }) => idServer))] : [given];

  const answers = await Promise.all(
    idServers.map(async (idServer) => ({
      idServer,
      ...(await requestUnbind(owned, idServer, deadline.serverMs(), ports)),
    })),
  );
  call.note({ id_servers: answers.map(({ idServer, status }) => `${idServer} ${status}`) });

  const unbound = answers.flatMap(({ status, idServer }) => (status === 'done' ? [idServer] : []));
  // Before the directory may fail: they have done it.
  for (const idServer of unbound) call.audit('threepid.unbound', { subject: mxid, medium, id_server: idServer });
  const forgotten = known.filter((bind) => unbound.includes(bind.idServer) && !isUnderWay(bind, ports.now()));
  if (forgotten.length > 0) {
    await deadline.useDirectory((timeoutMs) => ports.threepids.forget(forgotten, timeoutMs));
  }
  const result = resultOf(answers);
  call.note({ result });
  return result;
}

/** The request, signed in the homeserver's name for this server alone. */
function requestUnbind(
  { mxid, medium, address }: OwnedThreepid,
  idServer: string,
  timeoutMs: number,
  { homeserver, signingKey, sendToIdentityServer }: SigningPorts,
): Promise<IdentityServerAnswer> {
  const content = { mxid, threepid: { medium, address } };
  const signed = { method: 'POST', uri: PATH, origin: homeserver.name, destination: idServer, content } as const;
  const request = {
    method: 'POST',
    url: `https://${idServer}${PATH}`,
    headers: { Authorization: signRequest(signed, signingKey), 'Content-Type': 'application/json' },
    body: canonicalJson(content),
    timeoutMs,
  } as const;
  return askIdentityServer(request, sendToIdentityServer);
}

function resultOf(answers: readonly IdentityServerAnswer[]): UnbindResult {
  const [first] = answers.flatMap((answer) => ('error' in answer ? [answer] : [])).sort((a, b) => rank(a) - rank(b));
  if (first !== undefined) throw first.error;
  return answers.length > 0 && answers.every(({ status }) => status === 'done') ? 'success' : 'no-support';
}

/** What a server said itself goes first, then that one was too slow. */
function rank(answer: IdentityServerAnswer): number {
  if (answer.status !== 'unanswered') return 0;
  return answer.fault === 'timed_out' ? 1 : 2;
}
