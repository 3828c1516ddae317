import { createSecretKey } from 'node:crypto';
import { type Client, Clients } from '#shared/access-token/clients.ts';
import type { RevokeTokenEnvironment } from '#shared/access-token/revoke-token.ts';
import type { Verification, VerifiedToken, VerifyOptions } from '#shared/access-token/verify.ts';
import { createHourlyLimit, type HourlyLimit } from '#shared/hourly-limit.ts';
import type { Settings } from '#shared/settings.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import type { Pepper } from '#shared/token-revocation/token-id.ts';
import { basic, client } from './test-issuer.ts';

/** When the hand-driven clock of these ports stands, in seconds. */
export const NOW_S = 1_800_000_000;

/** The credential of the client `skill`. */
export const SKILL = basic('skill', 'skill-secret');

/** What is known of a token of `user-1` at the client `skill`. */
export const VERIFIED: VerifiedToken = {
  issuer: 'https://auth.example',
  subject: 'user-1',
  isApplication: false,
  client: 'skill',
  scopes: [],
  issuedAt: NOW_S - 10,
  expiresAt: NOW_S + 3600,
  claims: { sub: 'user-1' },
};

/** What deciding about tokens works with, but for the issuer: what is known of a token is up to a test. */
export interface TestAccessPorts {
  readonly ports: {
    readonly verify: (token: string, options: VerifyOptions) => Promise<Verification>;
    readonly revocations: TokenRevocationStore;
    readonly peppers: readonly Pepper[];
    readonly clients: readonly Client[];
    readonly settings: Settings<typeof RevokeTokenEnvironment>;
    readonly inactiveLimit: HourlyLimit;
    readonly now: () => number;
  };
  /** What the issuer was asked. */
  readonly asked: readonly (readonly [token: string, options: VerifyOptions])[];
  /** What is in the call's log line. */
  readonly noted: Record<string, unknown>;
  /** What an operator was told. */
  readonly alerts: readonly string[];
  /** A call with this credential, which has 5 seconds left. */
  readonly call: (authorization?: string) => {
    readonly authorization: string | undefined;
    readonly traceparent: string;
    readonly remainingMs: () => number;
    readonly note: (fields: Record<string, unknown>) => void;
    readonly alert: (message: string) => void;
  };
}

/** @param verification What is known of every token. */
export function createAccessPorts(verification: Verification): TestAccessPorts {
  const now = () => NOW_S * 1000;
  const clients = Clients.parse(
    JSON.stringify([client('skill', 'skill-secret'), { ...client('server', 's'), scopes: ['introspect'] }]),
  );
  const alerts: string[] = [];
  const asked: [token: string, options: VerifyOptions][] = [];
  const noted: Record<string, unknown> = {};
  return {
    asked,
    noted,
    alerts,
    ports: {
      async verify(token, options) {
        asked.push([token, options]);
        return verification;
      },
      revocations: openMemoryStore({ now }),
      peppers: [{ name: 'k1', key: createSecretKey(Buffer.alloc(32, 'a')) }],
      clients,
      settings: { CLIENTS: clients, MAX_TOKEN_LIFETIME_S: 86_400, INACTIVE_TOKEN_LIFETIME_S: 86_400 },
      inactiveLimit: createHourlyLimit(10, () => 0),
      now,
    },
    call: (authorization) => ({
      authorization,
      traceparent: '00-1-2-01',
      remainingMs: () => 5000,
      note: (fields) => void Object.assign(noted, fields),
      alert: (message) => void alerts.push(message),
    }),
  };
}
