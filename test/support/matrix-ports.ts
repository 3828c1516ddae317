import { createSecretKey } from 'node:crypto';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { OutgoingRequest, Send } from '#shared/outgoing/send.ts';
import type { SigningPorts } from '#shared/threepid/open-ports.ts';
import type { MatrixRequest } from '#shared/threepid/request.ts';
import { MatrixSigningKey } from '#shared/threepid/signing.ts';
import type { ThreepidBindings } from '#shared/threepid/threepid-binding.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';

/** The pepper of these ports. */
export const PEPPERS = [{ name: 'k1', key: createSecretKey(Buffer.alloc(32, 'p')) }];

/** What bind and unbind work with, but for the network: who answers is up to a test. */
export interface TestMatrixPorts {
  readonly ports: SigningPorts;
  /** What was sent, to the homeserver first. */
  readonly sent: readonly OutgoingRequest[];
  /** What was written to the audit log, the call's log line, and as a warning, in that order. */
  readonly told: readonly (readonly [kind: 'audit' | 'note' | 'warn', fields: Record<string, unknown>])[];
  /** A call of `@ann:example.org`. */
  readonly call: (body: object) => MatrixRequest;
  /** From now on these changes of the directory fail. */
  readonly breakDirectory: (...methods: readonly ('put' | 'forget')[]) => void;
}

/** An answer as a {@link Send} has it, made of what its body holds. */
export const answered = (status: number, body: object) => ({
  status,
  headers: {},
  body: Buffer.from(JSON.stringify(body)),
});

/** @param answerOf What identity servers answer; it may break the directory meanwhile. */
export function createMatrixPorts(answerOf: Send, remainingMs = 60_000): TestMatrixPorts {
  const { threepids } = openMemoryDirectory();
  const sent: OutgoingRequest[] = [];
  const told: [kind: 'audit' | 'note' | 'warn', fields: Record<string, unknown>][] = [];
  let broken: readonly string[] = [];
  const unlessBroken = (method: 'put' | 'forget') => {
    if (broken.includes(method)) throw new StoreUnavailable('closed');
  };
  const bindings: ThreepidBindings = {
    find: threepids.find,
    async put(binding) {
      unlessBroken('put');
      return threepids.put(binding);
    },
    async forget(forgotten) {
      unlessBroken('forget');
      return threepids.forget(forgotten);
    },
  };
  const writeDown =
    (send: Send): Send =>
    (request) => {
      sent.push(request);
      return send(request);
    };
  return {
    sent,
    told,
    ports: {
      homeserver: {
        ...{ name: 'example.org', url: 'https://homeserver.example.org', allowsQueryToken: false },
        send: writeDown(async () => answered(200, { user_id: '@ann:example.org' })),
      },
      revocations: openMemoryStore(),
      peppers: PEPPERS,
      threepids: bindings,
      sendToIdentityServer: writeDown(answerOf),
      allowedServers: [],
      now: Date.now,
      signingKey: MatrixSigningKey.parse('ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1'),
    },
    call: (body) => ({
      authorization: 'Bearer token-of-ann',
      query: () => new URLSearchParams(),
      text: () => JSON.stringify(body),
      remainingMs: () => remainingMs,
      note: (fields) => void told.push(['note', fields]),
      warn: (fields) => void told.push(['warn', fields]),
      audit: (_event, fields) => void told.push(['audit', fields]),
    }),
    breakDirectory: (...methods) => {
      broken = methods;
    },
  };
}
