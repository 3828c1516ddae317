import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Certificates, createCertificateAuthority } from '#scripts/matrix/certificates.ts';
import { type Homeserver, startHomeserver } from '#scripts/matrix/homeserver.ts';
import { type IdentityServer, startIdentityServer } from '#scripts/matrix/identity-server.ts';
import { identityCaFile, keepCertificates } from '#scripts/matrix/kept-certificates.ts';
import { createSigningKey } from '#scripts/matrix/signing-key.ts';
import { startHttpServer } from './http-server.ts';
import { callHttps, type HttpsAnswer } from './https-call.ts';
import { createTemporaryFolder } from './temporary-folder.ts';

const UNBIND = '/_matrix/identity/v2/3pid/unbind';
const SECRET = 'Not.A-real_secret=1';
const DAY_MS = 86_400_000;

let certificates: Certificates;
let homeserver: Homeserver;
let identity: IdentityServer;
/** Where the identity server finds the homeserver; a test may move it. */
let homeserverUrl: string;
let nowMs: number;

beforeAll(async () => {
  const authority = await createCertificateAuthority();
  certificates = await authority.issue(['localhost']);
});

beforeEach(async () => {
  homeserver = await startHomeserver({ port: 0 });
  onTestFinished(() => homeserver.close());
  homeserverUrl = homeserver.url;
  identity = await startTestIdentityServer();
  nowMs = Date.now();
});

async function startTestIdentityServer(autoValidate = true): Promise<IdentityServer> {
  const started = await startIdentityServer({
    port: 0,
    certificates,
    homeserverUrl: () => homeserverUrl,
    autoValidate,
    now: () => nowMs,
  });
  onTestFinished(() => started.close());
  return started;
}

/** The key of a `signing.key` line, read apart from the code that is tested by it. */
function privateKeyOf(line: string): KeyObject {
  const der = Buffer.from(
    `302e020100300506032b657004220420${Buffer.from(line.split(' ')[2] ?? '', 'base64').toString('hex')}`,
    'hex',
  );
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

function keyIdOf(line: string): string {
  return line.split(' ', 2).join(':');
}

/** What an unbind is made of, as a homeserver should make it; each test changes what it is about. */
function unbindOf(change: Partial<ReturnType<typeof properUnbind>> = {}) {
  return { ...properUnbind(), ...change };
}

function properUnbind() {
  return {
    path: UNBIND,
    mxid: `@ann:${homeserver.serverName}`,
    medium: 'email',
    address: 'ann@example.test',
    /** The members of what is signed that say for whom it is, as text. */
    destination: `"destination_is":"${identity.name}"`,
    signedPath: UNBIND,
    signingKey: homeserver.signingKey,
    keyId: keyIdOf(homeserver.signingKey),
    header: (origin: string, keyId: string, sig: string) =>
      `X-Matrix origin="${origin}",key="${keyId}",sig="${sig}",destination="${identity.name}"`,
    sent: (content: string) => content,
  };
}

async function unbind(change: Partial<ReturnType<typeof properUnbind>> = {}): Promise<HttpsAnswer> {
  const { path, mxid, medium, address, destination, signedPath, signingKey, keyId, header, sent } = unbindOf(change);
  const content = `{"mxid":"${mxid}","threepid":{"address":"${address}","medium":"${medium}"}}`;
  const members = [`"content":${content}`, destination, '"method":"POST"', `"origin":"${homeserver.serverName}"`];
  const text = `{${[...members, `"uri":"${signedPath}"`].filter((member) => member !== '').join()}}`;
  const sig = sign(null, Buffer.from(text), privateKeyOf(signingKey)).toString('base64').replace(/=+$/, '');
  return await call('POST', path, sent(content), { Authorization: header(homeserver.serverName, keyId, sig) });
}

async function call(
  method: string,
  path: string,
  body: object | string = '',
  headers: Record<string, string> = {},
  server = identity,
): Promise<HttpsAnswer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return await callHttps(`${server.url}${path}`, certificates.ca, { method, headers, body: text });
}

/** The header of a user who is signed in to the identity server. */
async function signIn(server = identity): Promise<Record<string, string>> {
  const openId = {
    access_token: 'anything',
    matrix_server_name: homeserver.serverName,
    token_type: 'Bearer',
    expires_in: 60,
  };
  const { body } = await call('POST', '/_matrix/identity/v2/account/register', openId, {}, server);
  return { Authorization: `Bearer ${JSON.parse(body).token}` };
}

/** Has an address validated, and returns its session. */
async function validate(
  email = 'ann@example.test',
  server = identity,
): Promise<{ sid: string; client_secret: string }> {
  const request = { client_secret: SECRET, email, send_attempt: 1 };
  const path = '/_matrix/identity/v2/validate/email/requestToken';
  const { body } = await call('POST', path, request, await signIn(server), server);
  return { sid: JSON.parse(body).sid, client_secret: SECRET };
}

/** Binds `ann@example.test` to a user. */
async function bind(localpart = 'ann'): Promise<HttpsAnswer> {
  const request = { ...(await validate()), mxid: `@${localpart}:${homeserver.serverName}` };
  return await call('POST', '/_matrix/identity/v2/3pid/bind', request, await signIn());
}

/** An answer, as the tables of the tests write it. */
function outcomeOf({ status, body }: HttpsAnswer) {
  const { errcode, error } = JSON.parse(body);
  return [status, errcode, error];
}

describe('an unbind that the homeserver signed', () => {
  test('is done, and answered {} as HTML', async () => {
    await bind();

    const answered = await unbind();

    expect(answered).toMatchObject({
      status: 200,
      body: '{}',
      headers: { 'content-type': 'text/html; charset=utf-8' },
    });
    expect(identity.bindings).toEqual([]);
    expect(homeserver.calls).toEqual(['GET /_matrix/key/v2/server/']);
  });

  test.each<[string, Partial<ReturnType<typeof properUnbind>>]>([
    [
      'whose header names no destination',
      { header: (origin, key, sig) => `X-Matrix origin="${origin}",key="${key}",sig="${sig}"` },
    ],
    [
      'whose parameters come in another order',
      { header: (origin, key, sig) => `X-Matrix sig="${sig}",destination="x",key="${key}",origin="${origin}"` },
    ],
    [
      'whose parameters are not quoted',
      { header: (origin, key, sig) => `X-Matrix origin=${origin},key=${key},sig=${sig}` },
    ],
    [
      'whose signature is padded',
      { header: (origin, key, sig) => `X-Matrix origin="${origin}",key="${key}",sig="${sig}=="` },
    ],
    ['whose body is sent with other white space', { sent: (content) => content.replaceAll(':{', ' : {\n') }],
    ['of an address in capitals', { address: 'ANN@Example.Test' }],
    [
      'of the v1 path, signed for it',
      { path: '/_matrix/identity/api/v1/3pid/unbind', signedPath: '/_matrix/identity/api/v1/3pid/unbind' },
    ],
  ])('%s is done', async (_, change) => {
    await bind();

    expect(await unbind(change)).toMatchObject({ status: 200, body: '{}' });
    expect(identity.bindings).toEqual([]);
  });

  test.each([
    ['an address that is not bound', { address: 'nobody@example.test' }],
    ['an unknown medium', { medium: 'irc' }],
  ])('of %s is a success that changes nothing', async (_, change) => {
    await bind();

    expect(await unbind(change)).toMatchObject({ status: 200, body: '{}' });
    expect(identity.bindings).toHaveLength(1);
  });

  test("of another user's address is a success, and the address stays bound", async () => {
    await bind('ben');

    expect(await unbind()).toMatchObject({ status: 200, body: '{}' });
    expect(identity.bindings).toEqual([
      { medium: 'email', address: 'ann@example.test', mxid: `@ben:${homeserver.serverName}` },
    ]);
  });

  test('twice is a success twice', async () => {
    await bind();
    await unbind();

    expect(await unbind()).toMatchObject({ status: 200, body: '{}' });
  });

  test('is verified by code points, where UTF-16 has another order, and with escapes in lower case', async () => {
    const content = `{"mxid":"@ann:${homeserver.serverName}","threepid":{"address":"\\u001f\u007f\u2028","medium":"email"},"\uff61":1,"😀":2}`;

    expect(await unbind({ ...signedContent(content) })).toMatchObject({ status: 200, body: '{}' });
  });
});

/** An unbind of a body that is not made of parts. */
function signedContent(content: string): Partial<ReturnType<typeof properUnbind>> {
  const text = `{"content":${content},"destination_is":"${identity.name}","method":"POST","origin":"${homeserver.serverName}","uri":"${UNBIND}"}`;
  const sig = sign(null, Buffer.from(text), privateKeyOf(homeserver.signingKey)).toString('base64');
  return {
    sent: () => content,
    header: (origin, key) => `X-Matrix origin="${origin}",key="${key}",sig="${sig}"`,
  };
}

describe('an unbind that is not signed as it must be', () => {
  const unverified = [401, 'M_FORBIDDEN', expect.stringMatching(/^Unable to verify signature/)];
  const malformed = [401, 'M_FORBIDDEN', 'Malformed Authorization header'];
  const missing = [401, 'M_FORBIDDEN', expect.stringMatching(/^Missing /)];

  test.each<[string, () => Partial<ReturnType<typeof properUnbind>>, unknown[]]>([
    ['over "destination"', () => ({ destination: `"destination":"${identity.name}"` }), unverified],
    ['over no destination', () => ({ destination: '' }), unverified],
    ['for another name', () => ({ destination: '"destination_is":"other.example"' }), unverified],
    ['for another path', () => ({ signedPath: '/_matrix/identity/api/v1/3pid/unbind' }), unverified],
    ['with another key', () => ({ signingKey: createSigningKey() }), unverified],
    ['before its body was altered', () => ({ sent: (content) => content.replace('ann@', 'ben@') }), unverified],
    [
      'by a key that is not published',
      () => ({ keyId: 'ed25519:other' }),
      [401, 'M_FORBIDDEN', 'No matching signature found'],
    ],
    [
      'with a space after commas',
      () => ({ header: (origin, key, sig) => `X-Matrix origin="${origin}", key="${key}", sig="${sig}"` }),
      malformed,
    ],
    [
      'with two spaces after X-Matrix',
      () => ({ header: (origin, key, sig) => `X-Matrix  origin="${origin}",key="${key}",sig="${sig}"` }),
      malformed,
    ],
    [
      'by the parameter "signature"',
      () => ({ header: (origin, key, sig) => `X-Matrix origin="${origin}",key="${key}",signature="${sig}"` }),
      malformed,
    ],
    [
      'by x-matrix',
      () => ({ header: (origin, key, sig) => `x-matrix origin="${origin}",key="${key}",sig="${sig}"` }),
      missing,
    ],
    ['but has a bearer token', () => ({ header: () => 'Bearer token' }), missing],
    ['at all', () => ({ header: () => '' }), missing],
    [
      "of another homeserver's user",
      () => ({ mxid: '@ann:other.example' }),
      [403, 'M_FORBIDDEN', 'Origin server name does not match mxid'],
    ],
  ])('%s is refused, and the address stays bound', async (_, change, outcome) => {
    await bind();

    expect(outcomeOf(await unbind(change()))).toEqual(outcome);
    expect(identity.bindings).toHaveLength(1);
  });

  test.each([
    [404, '{"errcode":"M_NOT_FOUND","error":"No."}', [401, 'M_FORBIDDEN', 'No key found in response']],
    [200, '{"verify_keys":{}}', [401, 'M_FORBIDDEN', 'No matching signature found']],
    [200, 'no JSON', [500, 'M_UNKNOWN', expect.any(String)]],
  ])('is refused when the homeserver answers %d %s for its keys', async (status, text, outcome) => {
    homeserverUrl = await startHttpServer((_, response) => response.writeHead(status).end(text));

    expect(outcomeOf(await unbind())).toEqual(outcome);
  });

  test('is a 500 when the homeserver cannot be reached', async () => {
    await homeserver.close();

    expect(outcomeOf(await unbind())).toEqual([500, 'M_UNKNOWN', expect.any(String)]);
  });

  test.each([
    ['{"threepid":{"medium":"email","address":"a"}}', 'M_MISSING_PARAMS'],
    ['{"mxid":"@a:b","threepid":{"address":"a"}}', 'M_MISSING_PARAMS'],
    ['{"mxid":"@a:b","threepid":"email"}', 'M_MISSING_PARAMS'],
    ['[]', 'M_MISSING_PARAMS'],
    ['no JSON', 'M_BAD_JSON'],
  ])('is told first what is wrong with the body %s', async (body, errcode) => {
    expect(outcomeOf(await call('POST', UNBIND, body)).slice(0, 2)).toEqual([400, errcode]);
  });
});

describe('an unbind by session', () => {
  const threepid = { medium: 'email', address: 'ann@example.test' };

  async function unbindBy(session: object, change: object = {}): Promise<HttpsAnswer> {
    const mxid = `@ann:${homeserver.serverName}`;
    return await call('POST', UNBIND, { mxid, threepid: { ...threepid, ...change }, ...session });
  }

  test('is done for the session of the address', async () => {
    await bind();

    expect(await unbindBy(await validate())).toMatchObject({ status: 200, body: '{}' });
    expect(identity.bindings).toEqual([]);
  });

  test('of another address is a 403', async () => {
    expect(outcomeOf(await unbindBy(await validate(), { address: 'ben@example.test' })).slice(0, 2)).toEqual([
      403,
      'M_FORBIDDEN',
    ]);
  });

  test.each([
    ['wrong', 401, 'M_NO_VALID_SESSION'],
    ['not/allowed', 400, 'M_INVALID_PARAM'],
  ])('with the secret "%s" is a %d', async (client_secret, status, errcode) => {
    expect(outcomeOf(await unbindBy({ ...(await validate()), client_secret })).slice(0, 2)).toEqual([status, errcode]);
  });

  test('that has expired is a 500', async () => {
    const session = await validate();
    nowMs += DAY_MS + 1;

    expect(outcomeOf(await unbindBy(session))).toEqual([500, 'M_UNKNOWN', '']);
  });

  test('that has not been validated is not answered', async () => {
    const server = await startTestIdentityServer(false);
    const session = await validate('ann@example.test', server);
    const abort = new AbortController();

    const answered = callHttps(`${server.url}${UNBIND}`, certificates.ca, {
      method: 'POST',
      body: JSON.stringify({ mxid: '@ann:example.test', threepid, ...session }),
      signal: abort.signal,
    });
    // A later call is answered meanwhile.
    const other = await call('GET', '/_matrix/identity/v2', '', {}, server);
    abort.abort();

    expect(other.status).toBe(200);
    await expect(answered).rejects.toThrow('aborted');
  });
});

describe('the identity server', () => {
  test('binds an address to a user, and says so in a signed association', async () => {
    const { status, body } = await bind();

    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({
      medium: 'email',
      address: 'ann@example.test',
      mxid: `@ann:${homeserver.serverName}`,
      ts: nowMs,
      not_before: nowMs,
      not_after: expect.any(Number),
      signatures: { [identity.name]: expect.any(Object) },
    });
  });

  test('says what a session has shown, with the case of the address folded', async () => {
    const session = await validate('Strauß@Example.Test');
    const path = `/_matrix/identity/v2/3pid/getValidated3pid?${new URLSearchParams(session)}`;

    const { status, body } = await call('GET', path, '', await signIn());

    expect([status, JSON.parse(body)]).toEqual([
      200,
      { medium: 'email', address: 'strauss@example.test', validated_at: nowMs },
    ]);
  });

  test.each([
    ['unknown', 404, 'M_NO_VALID_SESSION'],
    ['expired', 400, 'M_SESSION_EXPIRED'],
    ['unvalidated', 400, 'M_SESSION_NOT_VALIDATED'],
  ])('refuses to bind by a session that is %s', async (fault, status, errcode) => {
    const server = await startTestIdentityServer(fault !== 'unvalidated');
    const session = await validate('ann@example.test', server);
    if (fault === 'expired') nowMs += DAY_MS + 1;
    const request = { ...session, ...(fault === 'unknown' && { sid: '0' }), mxid: '@ann:example.test' };

    const answered = await call('POST', '/_matrix/identity/v2/3pid/bind', request, await signIn(server), server);

    expect(outcomeOf(answered).slice(0, 2)).toEqual([status, errcode]);
    expect(server.bindings).toEqual([]);
  });

  test('finds a phone number by its digits', async () => {
    const request = { client_secret: SECRET, country: 'GB', phone_number: '+44 20 7946 0000', send_attempt: 1 };
    const user = await signIn();
    const { body } = await call('POST', '/_matrix/identity/v2/validate/msisdn/requestToken', request, user);
    const session = { sid: JSON.parse(body).sid, client_secret: SECRET };

    await call('POST', '/_matrix/identity/v2/3pid/bind', { ...session, mxid: '@ann:example.test' }, user);

    expect(identity.bindings).toEqual([{ medium: 'msisdn', address: '442079460000', mxid: '@ann:example.test' }]);
  });

  test.each(['none', 'sha256'])('looks up by the algorithm %s what is bound, and nothing else', async (algorithm) => {
    await bind();
    const user = await signIn();
    const details = JSON.parse((await call('GET', '/_matrix/identity/v2/hash_details', '', user)).body);
    const spell = (text: string) =>
      algorithm === 'none' ? text : createHash('sha256').update(`${text} ${details.lookup_pepper}`).digest('base64url');
    const addresses = ['ann@example.test email', 'ben@example.test email'].map(spell);

    const request = { addresses, algorithm, pepper: details.lookup_pepper };
    const { body } = await call('POST', '/_matrix/identity/v2/lookup', request, user);

    expect(details.algorithms).toContain(algorithm);
    expect(JSON.parse(body)).toEqual({ mappings: { [addresses[0] ?? '']: `@ann:${homeserver.serverName}` } });
  });

  test.each(['3pid/bind', 'lookup', 'validate/email/requestToken'])('asks for a token at %s', async (path) => {
    expect(outcomeOf(await call('POST', `/_matrix/identity/v2/${path}`, {})).slice(0, 2)).toEqual([
      401,
      'M_UNAUTHORIZED',
    ]);
  });

  test.each([
    ['GET', '/_matrix/identity/v2/nothing', 404],
    ['PUT', UNBIND, 405],
    ['OPTIONS', UNBIND, 501],
  ])('answers %s %s with a page of HTML, %d', async (method, path, status) => {
    const answered = await call(method, path);

    expect(answered.status).toBe(status);
    expect(answered.body).toContain('<html>');
  });
});

describe('the homeserver', () => {
  async function ask(path: string, init: RequestInit = {}): Promise<[number, unknown]> {
    const response = await fetch(`${homeserver.url}${path}`, init);
    return [response.status, await response.json()];
  }

  const whoami = (token: string, path = '/_matrix/client/v3/account/whoami') =>
    ask(path, { headers: { Authorization: `Bearer ${token}` } });

  test.each(['v3', 'r0'])('says under %s whose a token is', async (version) => {
    const path = `/_matrix/client/${version}/account/whoami`;

    expect(await whoami(homeserver.accessToken('ann'), path)).toEqual([
      200,
      { user_id: `@ann:${homeserver.serverName}`, is_guest: false, device_id: expect.any(String) },
    ]);
    expect(homeserver.calls).toEqual([`GET ${path}`]);
  });

  test('tells a guest', async () => {
    expect(await whoami(homeserver.guestToken())).toMatchObject([200, { is_guest: true }]);
  });

  test('refuses tokens in the words of Synapse', async () => {
    const path = '/_matrix/client/v3/account/whoami';

    expect(await whoami(homeserver.lockedToken())).toMatchObject([
      401,
      { errcode: 'M_USER_LOCKED', soft_logout: true },
    ]);
    expect(await whoami('unknown')).toMatchObject([401, { errcode: 'M_UNKNOWN_TOKEN', soft_logout: false }]);
    expect(await ask(path)).toMatchObject([401, { errcode: 'M_MISSING_TOKEN' }]);
    expect(await ask(`${path}?access_token=${homeserver.accessToken('ann')}`)).toMatchObject([401, {}]);
  });

  test.each(['ann', '@ann:example.test'])('lets %s log in by any password', async (user) => {
    const named = await startHomeserver({ port: 0, serverName: 'example.test' });
    onTestFinished(() => named.close());
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password: 'any' };

    const response = await fetch(`${named.url}/_matrix/client/v3/login`, {
      method: 'POST',
      body: JSON.stringify(login),
    });
    const { access_token, user_id } = Object(await response.json());

    expect(user_id).toBe('@ann:example.test');
    const headers = { Authorization: `Bearer ${access_token}` };
    const known = await fetch(`${named.url}/_matrix/client/v3/account/whoami`, { headers });
    expect(await known.json()).toMatchObject({ user_id });
  });

  test.each([
    ['GET', '/_matrix/client/v3/account/3pid', 404],
    ['POST', '/_matrix/client/v3/account/whoami', 405],
  ])('does not know %s %s', async (method, path, status) => {
    expect(await ask(path, { method })).toMatchObject([status, { errcode: 'M_UNRECOGNIZED' }]);
  });

  test.each(['', '/'])('publishes its key in a document that it has signed itself: server%s', async (slash) => {
    const [status, document] = await ask(`/_matrix/key/v2/server${slash}`);
    const { signatures, ...signed } = Object(document);
    const id = keyIdOf(homeserver.signingKey);

    expect(status).toBe(200);
    const key = createPublicKey(privateKeyOf(homeserver.signingKey));
    const base64 = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
    expect(signed).toEqual({
      server_name: homeserver.serverName,
      verify_keys: { [id]: { key: base64.replace('=', '') } },
      old_verify_keys: {},
      valid_until_ts: expect.any(Number),
    });
    const canonical = `{${['old_verify_keys', 'server_name', 'valid_until_ts', 'verify_keys']
      .map((name) => `"${name}":${JSON.stringify(signed[name])}`)
      .join()}}`;
    const signature = Buffer.from(signatures[homeserver.serverName][id], 'base64');
    expect(verify(null, Buffer.from(canonical), key, signature)).toBe(true);
  });

  test('keeps the signing key that it is given', async () => {
    const again = await startHomeserver({ port: 0, signingKey: homeserver.signingKey });
    onTestFinished(() => again.close());

    expect(homeserver.signingKey).toMatch(/^ed25519 a_[0-9a-z]{4} [A-Za-z0-9+/]{43}$/);
    expect(again.signingKey).toBe(homeserver.signingKey);
  });
});

describe('the certificates', () => {
  test.each<[string, readonly string[], 'expired' | 'self-signed' | undefined, string]>([
    ['that has expired', ['localhost'], 'expired', 'CERT_HAS_EXPIRED'],
    ['that no authority signed', ['localhost'], 'self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['of another host', ['other.example'], undefined, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('of which one is flawed: a client refuses one %s', async (_, hosts, flaw, code) => {
    const flawed = await (await createCertificateAuthority()).issue(hosts, flaw);
    const server = await startIdentityServer({ port: 0, certificates: flawed, homeserverUrl: () => undefined });
    onTestFinished(() => server.close());

    await expect(callHttps(server.url, flawed.ca)).rejects.toMatchObject({ code });
    expect(server.requests).toEqual([]);
  });

  test('are good for addresses too', async () => {
    const { certificate } = await (await createCertificateAuthority()).issue(['localhost', '127.0.0.1']);
    const parsed = new X509Certificate(certificate);

    expect(parsed.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(parsed.checkHost('localhost')).toBe('localhost');
  });

  test('are kept in a data folder until the day before they expire, or are not whole', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const first = await keepCertificates(folder.path, () => nowMs);

    expect(readFileSync(identityCaFile(folder.path), 'utf8')).toBe(first.ca);
    expect(await keepCertificates(folder.path, () => nowMs + 88 * DAY_MS)).toEqual(first);
    const second = await keepCertificates(folder.path, () => nowMs + 90 * DAY_MS);
    expect(second.ca).not.toBe(first.ca);

    writeFileSync(identityCaFile(folder.path), first.ca);
    const third = await keepCertificates(folder.path, () => nowMs);
    expect(third.certificate).not.toBe(second.certificate);
    expect(await keepCertificates(folder.path, () => nowMs)).toEqual(third);
  });
});
