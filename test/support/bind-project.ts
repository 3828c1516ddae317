import { onTestFinished } from 'vitest';
import { type Changes, type EmulatedProject, type Received, startProject } from './emulated-project.ts';
import { MOCK_AUDIENCE, MOCK_CLIENT, type MockProvider, startMockProvider } from './mock-provider.ts';
import { basic, client } from './test-issuer.ts';

/** Registered for the application; it has a query of its own. */
export const CALLBACK = 'https://app.company.com/callback?keep=me';

/** The built functions, a provider and an issuer, and a browser that is the test. */
export interface BindProject {
  readonly project: EmulatedProject;
  /** `oidc:mock_1`. */
  readonly provider: MockProvider;
  /** Whose subjects have links. */
  readonly issuer: MockProvider;
  start(authorization: string, body: unknown): Promise<Received>;
  /** Starts a bind of this user and returns where the browser is sent. */
  redirectTo(subject: string, more?: object): Promise<string>;
  /** The browser at the provider's callback; redirects are not followed. */
  callback(parameters: URLSearchParams, options?: CallbackOptions): Promise<Received>;
  signIn(parameters: URLSearchParams, cookie?: string): Promise<Received>;
  /** The browser sends the form of our page: by the button that links, or by the one that declines. */
  page(token: string, cookie: string | undefined, button?: 'link' | 'decline'): Promise<Received>;
  confirm(authorization: string, ticket: unknown): Promise<Received>;
  /** `Authorization` of a user with all scopes. */
  user(subject: string): Promise<string>;
  /** `Authorization` of the application `id`. */
  application(id?: string): string;
  links(subject: string): Promise<Record<string, unknown>[]>;
}

/** How the browser comes back from the provider. */
export interface CallbackOptions {
  /** `oidc/mock_1` if not given. */
  readonly provider?: string;
  readonly cookie?: string | undefined;
}

/** Starts it for one test. */
export async function startBindProject(changes: Changes = {}): Promise<BindProject> {
  const [provider, issuer] = [await startMockProvider(), await startMockProvider()];
  const row = { type: 'oidc', title: 'Mock', bind: bindAt(provider.url) };
  const project = await startProject({
    ...changes,
    local: {
      UNVERIFIED_TOKENS: null,
      ISSUERS: JSON.stringify([{ issuer: issuer.url, audience: MOCK_AUDIENCE, jwks_uri: `${issuer.url}/jwks` }]),
      ISSUER: issuer.url,
      CLIENTS: JSON.stringify([
        { ...client('app', 'app-secret'), scopes: ['blitz_api_sys_ufa_chg'], callbacks: [CALLBACK] },
        { ...client('plain', 'plain-secret'), callbacks: [CALLBACK], title: 'Plain & Simple' },
        { ...client('page', 'page-secret'), callbacks: [CALLBACK, 'https://other.company.com/done'] },
      ]),
      PROVIDERS: JSON.stringify([
        { ...row, name: 'mock_1' },
        { ...row, name: 'mock_2' },
        { type: 'tcs', name: 'tcs_1' },
      ]),
      MOCK_SECRET: MOCK_CLIENT.client_secret,
      PUBLIC_BASE_URL: 'https://login.company.com',
      SIGN_IN_CLIENT: JSON.stringify(MOCK_CLIENT),
      ...changes.local,
    },
  });
  onTestFinished(() => project.close());
  const base = '/blitz/api/users/current/fps/bind';
  const user = async (subject: string) =>
    `Bearer ${await issuer.accessToken({ sub: subject, client_id: 'page', scope: 'blitz_api_ufa blitz_api_ufa_chg' })}`;
  const cookieHeader = (cookie: string | undefined): Record<string, string> =>
    cookie === undefined ? {} : { Cookie: cookie };
  const json = (authorization: string) => ({ Authorization: authorization, 'Content-Type': 'application/json' });
  const start: BindProject['start'] = (authorization, body) =>
    project.gateway('POST', '/blitz/api/v2/users/current/fa/bind', json(authorization), JSON.stringify(body));
  return {
    project,
    provider,
    issuer,
    start,
    user,
    application: (id = 'app') => basic(id, `${id}-secret`),
    async redirectTo(subject, more) {
      const answer = await start(await user(subject), { fp: 'oidc:mock_1', callback: CALLBACK, ...more });
      if (answer.status !== 200) throw new Error(`the start was answered ${answer.status} ${answer.body}`);
      return JSON.parse(answer.body).redirectTo;
    },
    callback: (parameters, { provider: name = 'oidc/mock_1', cookie } = {}) =>
      project.gateway('GET', `${base}/cb/${name}?${parameters}`, cookieHeader(cookie)),
    signIn: (parameters, cookie) => project.gateway('GET', `${base}/sign-in?${parameters}`, cookieHeader(cookie)),
    page: (token, cookie, button = 'link') =>
      project.gateway(
        'POST',
        `${base}/page`,
        {
          'Content-Type': 'application/x-www-form-urlencoded',
          ...cookieHeader(cookie),
        },
        new URLSearchParams({ token, ...(button === 'decline' && { choice: 'decline' }) }).toString(),
      ),
    confirm: (authorization, ticket) =>
      project.gateway(
        'POST',
        '/blitz/api/v2/users/current/fa/bind/confirm',
        json(authorization),
        JSON.stringify({ ticket }),
      ),
    async links(subject) {
      const answer = await project.gateway('GET', `/blitz/api/v3/users/${subject}/fa`, {
        Authorization: await user(subject),
      });
      return JSON.parse(answer.body);
    },
  };
}

/** How our client binds at a mock provider. */
export function bindAt(issuer: string) {
  return {
    preset: 'oidc',
    issuer,
    client_id: MOCK_CLIENT.client_id,
    client_secret_env: 'MOCK_SECRET',
  };
}

/** Where an answer sends the browser. */
export function locationOf({ status, headers }: Received): URL {
  const location = headers.get('location');
  if (status !== 303 || location === null) throw new Error(`the browser is not sent on: ${status}`);
  return new URL(location);
}

/** The token in the form of our page, and the cookie that came with it. */
export function pageOf({ status, headers, body }: Received): { token: string; cookie: string } {
  const token = /name="token" value="([^"]+)"/.exec(body)?.[1];
  const cookie = headers.get('set-cookie')?.split(';')[0];
  if (status !== 200 || token === undefined || cookie === undefined) throw new Error(`this is not our page: ${body}`);
  return { token, cookie };
}
