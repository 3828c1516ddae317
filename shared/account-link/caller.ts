import * as z from 'zod/mini';
import { type AuthorizePorts, verifyUnrevoked } from '../access-token/authorize.ts';
import { bearerToken } from '../access-token/bearer.ts';
import { authenticateClient, type Client } from '../access-token/clients.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { jsonText } from '../settings.ts';
import { cutOffKeys } from '../token-revocation/token-id.ts';

const Scope = z.string().check(z.regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,255}$/));

/** The scopes of the Blitz API, and what this deployment calls them: each by a name of its own. */
const ScopeNames = z
  .strictObject({
    blitz_api_ufa: z._default(Scope, 'blitz_api_ufa'),
    blitz_api_sys_ufa: z._default(Scope, 'blitz_api_sys_ufa'),
    blitz_api_ufa_chg: z._default(Scope, 'blitz_api_ufa_chg'),
    blitz_api_sys_ufa_chg: z._default(Scope, 'blitz_api_sys_ufa_chg'),
  })
  .check(z.refine((names) => new Set(Object.values(names)).size === Object.keys(names).length));
export type ScopeNames = z.output<typeof ScopeNames>;

/** The settings of who may see and change links. */
export const CallerEnvironment = {
  /** The one issuer of `ISSUERS` whose subjects and scopes count. */
  ISSUER: z.string('must be set: the issuer of ISSUERS whose subjects have links'),
  SCOPE_NAMES: jsonText(
    'must be JSON: {"blitz_api_ufa": "the name that stands for it", …}, each name once',
    ScopeNames,
    {
      text: '{}',
    },
  ),
};

/** What knowing a caller needs. */
export interface CallerPorts extends AuthorizePorts {
  readonly issuer: string;
  readonly clients: readonly Client[];
  readonly scopeNames: ScopeNames;
}

/** A call with a credential. */
export interface CallerRequest {
  readonly authorization: string | undefined;
  /** The trace of the call, for our own services. */
  readonly traceparent?: string | undefined;
  /** Whether an application may authenticate by HTTP Basic. */
  readonly allowsBasic: boolean;
  readonly remainingMs: () => number;
  readonly note: (fields: Record<string, unknown>) => void;
}

/** Who calls: a user, or an application for itself. */
export interface Caller {
  /** Undefined of an application. */
  readonly subject: string | undefined;
  /** The application's id; undefined when a user's token names none. */
  readonly client: string | undefined;
  /** As an audit record names it. */
  readonly actor: string;
  readonly scopes: readonly string[];
  /** All that their token says; of an application without a token, nothing. */
  readonly claims: JsonObject;
}

/** What a caller wants to do with a subject's links. Leave to change is no leave to read. */
export type Permission = 'read' | 'change';

/**
 * Who calls: by an access token of our issuer, or as an application of `CLIENTS`. A token that names no user is an
 * application's own only where the issuer's row declares it (`client_tokens`); no scope makes a user's token one.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`
 * @throws {Failure} It cannot be said.
 */
export async function identifyCaller(request: CallerRequest, ports: CallerPorts): Promise<Caller> {
  const { authorization, allowsBasic, note } = request;
  if (allowsBasic && /^basic /i.test(authorization ?? '')) {
    const { id, scopes } = authenticateClient(authorization, {}, ports.clients);
    note({ client_id: id });
    return { subject: undefined, client: id, actor: `client:${id}`, scopes, claims: {} };
  }
  const verification = await verifyUnrevoked(bearerToken(authorization), request, ports);
  if (verification?.status !== 'verified' || verification.token.issuer !== ports.issuer) {
    throw new CallerError('invalid_token', 'The token is not valid here, or it is revoked.');
  }
  const { subject, isApplication, client, scopes, claims } = verification.token;
  if (client !== undefined) note({ client_id: client });
  if (isApplication) return { subject: undefined, client, actor: `client:${client}`, scopes, claims };
  if (subject === undefined) {
    note({ reason: 'no_user' });
    throw new CallerError('invalid_token', 'The token names no user.');
  }
  return { subject, client, actor: `subject:${subject}`, scopes, claims };
}

/** A subject as a log line names it, other than an audit record: a keyed digest. */
export function subjectRef(subject: string, { issuer, peppers }: Pick<CallerPorts, 'issuer' | 'peppers'>): string {
  return cutOffKeys({ issuer, subject }, peppers).current;
}

/**
 * The subject that a call is about, if the caller may do that with its links: a user with their own, an application
 * with anybody's. The log line is told of it.
 *
 * @param subjectId `current` is the token's subject.
 * @throws {CallerError} `insufficient_scope`: the same whether there is such a subject or not.
 */
export function permittedSubject(
  caller: Caller,
  permission: Permission,
  subjectId: string,
  { note }: Pick<CallerRequest, 'note'>,
  ports: Pick<CallerPorts, 'scopeNames' | 'issuer' | 'peppers'>,
): string {
  const names = permission === 'read' ? READ_SCOPES : CHANGE_SCOPES;
  const needed = ports.scopeNames[caller.subject === undefined ? names.system : names.user];
  const isCurrent = subjectId === 'current';
  const isAllowed = caller.subject === undefined ? !isCurrent : isCurrent || subjectId === caller.subject;
  if (!isAllowed || !caller.scopes.includes(needed)) {
    throw new CallerError('insufficient_scope', 'The credential does not allow this for this subject.');
  }
  if (caller.subject !== undefined) return caller.subject;
  note({ subject_ref: subjectRef(subjectId, ports) });
  return subjectId;
}

/** Whether a caller may change links at all: a user their own, an application anybody's. */
export function mayChange(caller: Caller, { scopeNames }: Pick<CallerPorts, 'scopeNames'>): boolean {
  return caller.scopes.includes(scopeNames[caller.subject === undefined ? CHANGE_SCOPES.system : CHANGE_SCOPES.user]);
}

const READ_SCOPES = { user: 'blitz_api_ufa', system: 'blitz_api_sys_ufa' } as const;
const CHANGE_SCOPES = { user: 'blitz_api_ufa_chg', system: 'blitz_api_sys_ufa_chg' } as const;
