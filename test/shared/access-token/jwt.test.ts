import { generateKeyPairSync } from 'node:crypto';
import { exportJWK, SignJWT } from 'jose';
import { beforeEach, describe, expect, test } from 'vitest';
import { createJwtVerifier } from '#shared/access-token/jwt.ts';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse } from '#shared/outgoing/send.ts';

const ISSUER = 'https://auth.example';
const AUDIENCE = 'https://api.example';
const NOW_S = 1_800_000_000;
const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: 'user-1', exp: NOW_S + 1_000_000 };

const old = generateKeyPairSync('ed25519');
const fresh = generateKeyPairSync('ed25519');
const oldJwk = { ...(await exportJWK(old.publicKey)), kid: 'old' };
const freshJwk = { ...(await exportJWK(fresh.publicKey)), kid: 'fresh' };

let count = 0;
/** A token that no other test has. */
function sign(key = old.privateKey, kid = 'old', claims: object = {}): Promise<string> {
  count += 1;
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid };
  return new SignJWT({ ...CLAIMS, jti: `${count}`, ...claims }).setProtectedHeader(header).sign(key);
}

describe('the keys at a jwks_uri', () => {
  let keys: unknown;
  let nowMs: number;
  let monotonicMs: number;
  let failure: Error | undefined;
  /** What an answer waits for. */
  let gate: Promise<void>;
  let sent: OutgoingRequest[];
  let verify: ReturnType<typeof createJwtVerifier>;

  beforeEach(() => {
    keys = [oldJwk];
    nowMs = NOW_S * 1000;
    monotonicMs = 5000;
    failure = undefined;
    gate = Promise.resolve();
    sent = [];
    const send = async (request: OutgoingRequest): Promise<OutgoingResponse> => {
      sent.push(request);
      await gate;
      if (failure !== undefined) throw failure;
      return { status: 200, headers: {}, body: Buffer.from(JSON.stringify({ keys })) };
    };
    const row = { issuer: ISSUER, audience: AUDIENCE, jwks_uri: 'https://auth.example/jwks' };
    verify = createJwtVerifier(row, { send, now: () => nowMs, monotonic: () => monotonicMs });
  });

  const options = { timeoutMs: 4000, traceparent: '00-1-2-01' };
  const statusOf = async (token: Promise<string>) => (await verify(await token, options)).status;
  const signFresh = () => sign(fresh.privateKey, 'fresh');

  test('are asked for with the trace of the call, and an answer of 256 KB at the most', async () => {
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toEqual([
      {
        ...{ method: 'GET', url: 'https://auth.example/jwks', ...options, maxBytes: 262_144 },
        headers: { Accept: 'application/jwk-set+json, application/json' },
      },
    ]);
  });

  test('serve for ten minutes, and are then asked for anew, in a quarter of the time', async () => {
    await statusOf(sign());
    monotonicMs += 600_000;
    await statusOf(sign());
    expect(sent).toHaveLength(1);
    monotonicMs += 1;
    expect(await statusOf(sign())).toBe('verified');
    expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([4000, 1000]);
  });

  test('are not asked for more often than every ten minutes while they cannot be had, and serve for a day', async () => {
    await statusOf(sign());
    failure = new OutgoingFailure('unreachable');
    monotonicMs += 600_001;
    expect(await statusOf(sign())).toBe('verified');
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toHaveLength(2);
    monotonicMs += 86_400_000 - 600_001;
    expect(await statusOf(sign())).toBe('verified');
    monotonicMs += 1;
    await expect(statusOf(sign())).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('that are one hundred are used, and no more', async () => {
    keys = Array.from({ length: 101 }, () => oldJwk);
    await expect(statusOf(sign())).rejects.toMatchObject({ fault: 'malformed' });
    keys = Array.from({ length: 100 }, (_, index) => ({ ...oldJwk, kid: index === 0 ? 'old' : `key-${index}` }));
    monotonicMs += 3000;
    expect(await statusOf(sign())).toBe('verified');
  });

  test('that are no list cannot be had', async () => {
    keys = { length: 1 };
    await expect(statusOf(sign())).rejects.toMatchObject({ fault: 'malformed' });
  });

  test('are asked for again after half a minute for a key that is not among them', async () => {
    await statusOf(sign());
    keys = [oldJwk, freshJwk];
    monotonicMs += 29_999;
    expect(await statusOf(signFresh())).toBe('refused');
    expect(sent).toHaveLength(1);
    monotonicMs += 1;
    expect(await statusOf(signFresh())).toBe('verified');
    expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([4000, 4000]);
  });

  test('that could not be had just now leave open whose a key is that is not among them', async () => {
    await statusOf(sign());
    monotonicMs += 30_000;
    failure = new OutgoingFailure('timed_out');
    await expect(statusOf(signFresh())).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(statusOf(signFresh())).rejects.toMatchObject({ fault: 'unreachable' });

    failure = undefined;
    monotonicMs += 30_000;
    expect(await statusOf(signFresh())).toBe('refused');
    expect(await statusOf(signFresh())).toBe('refused');
  });

  test('are not asked for again for a token that fits several of them', async () => {
    keys = [freshJwk, oldJwk].map((jwk) => ({ ...jwk, kid: 'old' }));
    expect(await statusOf(sign())).toBe('verified');
    monotonicMs += 30_000;
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toHaveLength(1);
  });

  test('refuse a key id that is made up, at an unlink too, after one request in half a minute', async () => {
    const late = async () => await verify(await signFresh(), { ...options, atAnyTime: true });
    await statusOf(sign());
    monotonicMs += 30_000;
    for (let index = 0; index < 5; index += 1)
      expect(await late()).toEqual({ status: 'refused', reason: 'unusable_key' });
    expect(sent).toHaveLength(2);
  });

  test('that are being asked for are waited for by a token with a key that is not among them', async () => {
    await statusOf(sign());
    monotonicMs += 30_000;
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    keys = [oldJwk, freshJwk];
    const both = Promise.all([statusOf(signFresh()), statusOf(signFresh())]);
    // Whoever does not wait has answered by now.
    expect(await statusOf(sign())).toBe('verified');
    resolve();
    expect(await both).toEqual(['verified', 'verified']);
    expect(sent).toHaveLength(2);
  });

  test('that were never had are asked for once in three seconds', async () => {
    failure = new OutgoingFailure('timed_out');
    await expect(statusOf(sign())).rejects.toMatchObject({ fault: 'timed_out' });
    monotonicMs += 2999;
    await expect(statusOf(sign())).rejects.toMatchObject({ fault: 'unreachable' });
    expect(sent).toHaveLength(1);

    monotonicMs += 1;
    failure = undefined;
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toHaveLength(2);
  });

  test.each([
    ['back', -86_400_000],
    ['ahead', 86_400_000],
  ])('are asked for no sooner and no later where the wall clock is set %s by a day', async (_title, by) => {
    await statusOf(sign());
    nowMs += by;
    monotonicMs += 600_000;
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toHaveLength(1);
    monotonicMs += 1;
    expect(await statusOf(sign())).toBe('verified');
    expect(sent).toHaveLength(2);
  });

  test('remember each token that they verified', async () => {
    const [one, other] = [await sign(), await sign()];
    const first = await verify(one, options);
    await verify(other, options);
    expect(await verify(one, options)).toBe(first);
  });

  test('that have changed verify anew what they verified before', async () => {
    const token = await sign();
    const first = await verify(token, options);
    expect(await verify(token, options)).toBe(first);
    monotonicMs += 600_001;
    expect(await verify(token, options)).not.toBe(first);
  });
});

test('a token is remembered inside its own time alone', async () => {
  let nowMs = NOW_S * 1000;
  const row = { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [oldJwk] } };
  // A row that was read: its keys have their kind.
  const verify = createJwtVerifier(row as Parameters<typeof createJwtVerifier>[0], {
    send: () => Promise.reject(new TypeError('nobody is asked')),
    now: () => nowMs,
    monotonic: () => 0,
  });
  const token = await sign(old.privateKey, 'old', { nbf: NOW_S + 10, exp: NOW_S + 20 });
  const at = (seconds: number) => {
    nowMs = seconds * 1000;
    return verify(token, { timeoutMs: 1 });
  };

  const first = await at(NOW_S + 9); // in the skew before it
  const second = await at(NOW_S + 9.999);
  expect(second).toEqual(first);
  expect(second).not.toBe(first);
  expect(await at(NOW_S + 10)).toBe(second);
  expect(await at(NOW_S + 19.999)).toBe(second);
  expect(await at(NOW_S + 20)).not.toBe(second); // in the skew behind it
});
