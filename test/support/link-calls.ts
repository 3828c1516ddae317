import { type Changes, type EmulatedProject, type Received, startProject } from './emulated-project.ts';
import { basic, client, ISSUER, ISSUER_SETTINGS, issueToken } from './test-issuer.ts';

/** The scopes of the API, by their default names. */
export const SCOPES = {
  read: 'blitz_api_ufa',
  change: 'blitz_api_ufa_chg',
  systemRead: 'blitz_api_sys_ufa',
  systemChange: 'blitz_api_sys_ufa_chg',
} as const;

/** Providers of the tests: one whose grants cannot be withdrawn, one at `endpoint`. */
export const providersAt = (endpoint: string) =>
  JSON.stringify([
    { type: 'tcs', name: 'tcs_1' },
    { type: 'vk', name: 'vk_1', manage_url: 'https://vk.example/apps' },
    {
      type: 'oidc',
      name: 'dev_1',
      manage_url: 'https://provider.example/apps',
      revocation: { endpoint, client_id: 'unlink-functions', client_secret_env: 'DEV_1_CLIENT_SECRET' },
    },
  ]);

/** The test's issuer, one client of which calls for itself. */
const ISSUERS = JSON.stringify(
  JSON.parse(ISSUER_SETTINGS.ISSUERS).map((row: object) => ({ ...row, client_tokens: ['admin-service'] })),
);

/** The settings of functions that know the test's issuer, its applications and its providers. */
export const LINK_SETTINGS = {
  ...ISSUER_SETTINGS,
  ISSUERS,
  ISSUER,
  CLIENTS: JSON.stringify([
    { ...client('admin', 'admin-secret'), scopes: [SCOPES.systemRead, SCOPES.systemChange] },
    { ...client('reader', 'reader-secret'), scopes: [SCOPES.systemRead] },
    { ...client('dnevnik-test.mos.ru', 'aQNzKBnceAAT0zX'), scopes: [SCOPES.systemRead] },
    { ...client('no-system', 'no-system-secret'), scopes: [SCOPES.read, SCOPES.change] },
  ]),
  PROVIDERS: providersAt('http://127.0.0.1:9/revoke'),
  DEV_1_CLIENT_SECRET: 'development-only',
};

/** `Authorization` of a user with these scopes; of all that a user can have if not given. */
export async function user(subject: string, ...scopes: string[]): Promise<string> {
  const scope = (scopes.length === 0 ? [SCOPES.read, SCOPES.change] : scopes).join(' ');
  return `Bearer ${await issueToken({ sub: subject, client_id: 'profile-page', scope })}`;
}

/** `Authorization` of an application's own token. */
export async function system(...scopes: string[]): Promise<string> {
  const scope = (scopes.length === 0 ? [SCOPES.systemRead, SCOPES.systemChange] : scopes).join(' ');
  return `Bearer ${await issueToken({ sub: 'admin-service', client_id: 'admin-service', scope })}`;
}

/** `Authorization` of an application of `CLIENTS`. */
export const application = (id = 'admin') => basic(id, `${id}-secret`);

/** The built functions in the emulator, and calls of the API. */
export interface LinkProject {
  readonly project: EmulatedProject;
  list(authorization: string, subject: string, version?: 'v2' | 'v3'): Promise<Received>;
  link(authorization: string, subject: string, identity: string, name?: string): Promise<Received>;
  /** @param identity `type/name/sid` as it stands in the path, with a query behind it if need be. */
  unlink(authorization: string, subject: string, identity: string): Promise<Received>;
  /** The parsed body of a list, which must be answered 200. */
  links(authorization: string, subject: string): Promise<unknown>;
  raw(operation: 'list' | 'link' | 'delete', authorization: string | undefined, payload: unknown): Promise<Received>;
  close(): Promise<void>;
}

export async function startLinkProject(changes: Changes = {}): Promise<LinkProject> {
  const project = await startProject({ ...changes, local: { ...LINK_SETTINGS, ...changes.local } });
  const call = (method: string, authorization: string, path: string, version = 'v3', body?: object) =>
    project.gateway(
      method,
      `/blitz/api/${version}/users/${path}`,
      { Authorization: authorization, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      body === undefined ? undefined : JSON.stringify(body),
    );
  const list: LinkProject['list'] = (authorization, subject, version) =>
    call('GET', authorization, `${subject}/fa`, version);
  return {
    project,
    list,
    link: (authorization, subject, identity, name) =>
      call(
        'POST',
        authorization,
        `${subject}/fa/${identity}`,
        'v3',
        name === undefined ? undefined : { federatedAccountName: name },
      ),
    unlink: (authorization, subject, identity) => call('DELETE', authorization, `${subject}/fa/${identity}`),
    async links(authorization, subject) {
      const { status, body } = await list(authorization, subject);
      if (status !== 200) throw new Error(`the list was answered ${status} ${body}`);
      return JSON.parse(body);
    },
    raw: (operation, authorization, payload) =>
      project.raw(`external-provider-${operation}`, {
        headers: { request_id: 'r-1', ...(authorization !== undefined && { authorization }) },
        request_type: `external-provider.${operation}`,
        api_version: 1.0,
        payload,
      }),
    close: () => project.close(),
  };
}
