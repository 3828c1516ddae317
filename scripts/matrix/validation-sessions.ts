import { randomBytes } from 'node:crypto';
import { matrixError } from './json-call.ts';
import { Refusal, refuse } from './refusal.ts';

/** One try to show that an address is somebody's. */
interface ValidationSession {
  readonly clientSecret: string;
  readonly medium: string;
  readonly address: string;
  /** In milliseconds since the epoch; undefined: not yet. */
  readonly validatedAt: number | undefined;
}

/** A session that has shown it. */
export type ValidatedSession = ValidationSession & { readonly validatedAt: number };

/** The sessions of an identity server. */
export interface ValidationSessions {
  /**
   * Begins one, and returns its `sid`.
   *
   * @throws {Refusal} The secret is malformed.
   */
  begin(session: ValidationSession): string;
  /**
   * The session of a `sid` and its secret.
   *
   * @throws {Refusal}
   */
  require(sid: unknown, clientSecret: unknown, purpose?: 'unbind' | 'other'): ValidatedSession;
}

const LIFETIME_MS = 86_400_000;
const CLIENT_SECRET = /^[0-9a-zA-Z.=_-]{1,255}$/;

const NO_SESSION = 'No valid session was found matching that sid and client secret';

/**
 * Sydent answers an unbind otherwise than the rest: it has no words for what has expired, and forgets to answer at all
 * where nothing is validated yet.
 */
const REFUSALS = {
  unbind: {
    unknown: matrixError(401, 'M_NO_VALID_SESSION', NO_SESSION),
    unvalidated: undefined,
    expired: matrixError(500, 'M_UNKNOWN', ''),
  },
  other: {
    unknown: matrixError(404, 'M_NO_VALID_SESSION', NO_SESSION),
    unvalidated: matrixError(400, 'M_SESSION_NOT_VALIDATED', 'This validation session has not yet been completed'),
    expired: matrixError(400, 'M_SESSION_EXPIRED', 'This validation session has expired'),
  },
} as const;

/** Makes an empty store of sessions. */
export function createValidationSessions(now: () => number): ValidationSessions {
  const sessions = new Map<unknown, ValidationSession>();
  return {
    begin(session) {
      assertSecret(session.clientSecret);
      const sid = randomBytes(6).toString('hex');
      sessions.set(sid, session);
      return sid;
    },
    require(sid, clientSecret, purpose = 'other') {
      assertSecret(clientSecret);
      const session = sessions.get(sid);
      const refusals = REFUSALS[purpose];
      if (session === undefined || session.clientSecret !== clientSecret) throw new Refusal(refusals.unknown);
      const { validatedAt } = session;
      if (validatedAt === undefined) throw new Refusal(refusals.unvalidated);
      if (now() - validatedAt > LIFETIME_MS) throw new Refusal(refusals.expired);
      return { ...session, validatedAt };
    },
  };
}

function assertSecret(clientSecret: unknown): void {
  if (!CLIENT_SECRET.test(String(clientSecret))) throw refuse(400, 'M_INVALID_PARAM', 'Invalid client_secret provided');
}
