import { fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { basic } from './test-issuer.ts';

/** The audience of JWTs. */
export const ISSUER_API = 'https://api.example.test';
export const ISSUER_REDIRECT_URI = 'https://social.yandex.net/broker/redirect';
export const ISSUER_SCOPES = ['offline_access', 'smart-home'];

/** Where a server is to be found, and the one client that it knows. */
export interface IssuerDescription {
  readonly issuer: string;
  readonly jwksUri?: string;
  /** What it signs with by HMAC. */
  readonly signingSecret?: string;
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
  readonly introspectionEndpoint: string;
  readonly revocationEndpoint: string;
  /** A route that the application has itself, which ends what a user has at a client. */
  readonly ownApi?: { readonly url: string; readonly authorization: string };
  readonly clientId: string;
  readonly clientSecret: string;
  /** Of the browser in which Ann has signed in. */
  readonly cookie: string;
}

/** The tokens of a link, as they are after its last refresh. */
export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** A running authorization server that npm has, and Ann's browser. */
export interface RealIssuer extends IssuerDescription {
  /** Sets its clock, in seconds ahead of everybody else's. */
  setClock(aheadS: number): Promise<void>;
  /** Ann links the accounts, by the code flow; with a resource (RFC 8707) if there is one to name. */
  link(resource?: string): Promise<IssuedTokens>;
  refresh(link: IssuedTokens, resource?: string): Promise<IssuedTokens>;
  /** What an endpoint that the client may call answers about a token. */
  ask(endpoint: string, token: string, hint?: string): Promise<{ status: number; body: string }>;
  close(): void;
}

/** Starts it in a process of its own. */
export async function startRealIssuer(name: 'better-auth' | 'jmondi'): Promise<RealIssuer> {
  const child = fork(fileURLToPath(new URL('./real-issuer-process.js', import.meta.url)), [name], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  // What it sends first.
  const [description] = (await once(child, 'message')) as [IssuerDescription];
  const { authorizationEndpoint, tokenEndpoint, clientId, clientSecret, cookie } = description;

  async function ask(endpoint: string, fields: Record<string, string>): Promise<{ status: number; body: string }> {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { Authorization: basic(clientId, clientSecret) },
      body: new URLSearchParams(fields),
    });
    return { status: response.status, body: await response.text() };
  }

  async function requestTokens(fields: Record<string, string>): Promise<IssuedTokens> {
    const { status, body } = await ask(tokenEndpoint, fields);
    if (status !== 200) throw new Error(`the token endpoint answered ${status} ${body}`);
    const { access_token, refresh_token } = JSON.parse(body);
    return { accessToken: access_token, refreshToken: refresh_token };
  }

  return {
    ...description,
    async setClock(aheadS) {
      child.send({ aheadS });
      await once(child, 'message');
    },
    async link(resource) {
      const verifier = randomBytes(32).toString('base64url');
      const wanted = resource === undefined ? {} : { resource };
      const query = new URLSearchParams({
        ...wanted,
        client_id: clientId,
        response_type: 'code',
        redirect_uri: ISSUER_REDIRECT_URI,
        scope: ISSUER_SCOPES.join(' '),
        state: 'state-1',
        audience: ISSUER_API,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      });
      const init = { redirect: 'manual', headers: { Cookie: cookie } } as const;
      const response = await fetch(`${authorizationEndpoint}?${query}`, init);
      // A script, which is what better-auth takes this for, is told by JSON.
      const back = response.headers.get('location') ?? JSON.parse(await response.text()).url;
      if (!back.includes('code=')) throw new Error(`the authorization endpoint answered ${response.status} ${back}`);
      return await requestTokens({
        ...wanted,
        grant_type: 'authorization_code',
        code: new URL(back).searchParams.get('code') ?? '',
        redirect_uri: ISSUER_REDIRECT_URI,
        code_verifier: verifier,
        audience: ISSUER_API,
      });
    },
    refresh: ({ refreshToken }, resource) =>
      requestTokens({
        ...(resource !== undefined && { resource }),
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
        audience: ISSUER_API,
      }),
    ask: (endpoint, token, hint) => ask(endpoint, { token, ...(hint !== undefined && { token_type_hint: hint }) }),
    close: () => void child.kill(),
  };
}
