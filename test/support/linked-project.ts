import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { DEMO_SECRET, type DemoTokens, linkDemoUser } from '#scripts/authorization-server/demo.ts';
import type { Orders } from './authorization-server-process.ts';
import { type Changes, type EmulatedProject, type Received, startProject } from './emulated-project.ts';
import { basic } from './test-issuer.ts';

/** The answer to a refresh. */
export interface Refresh {
  readonly status: number;
  readonly error: string | undefined;
  readonly accessToken: string;
}

/** The built functions in the emulator, and the authorization server whose tokens they verify and which asks them. */
export interface LinkedProject {
  readonly project: EmulatedProject;
  readonly authUrl: string;
  /** Sets the server's clock, in seconds ahead of everybody else's, or whether it asks before a refresh. */
  order(orders: { aheadS?: number; asks?: boolean }): Promise<void>;
  /** A user links the accounts: a grant of its own. */
  link(username: string, format?: 'jwt' | 'opaque'): Promise<DemoTokens>;
  /** @param clientId `smart-home` if not given. */
  refresh(link: DemoTokens, clientId?: string): Promise<Refresh>;
  /** The server's own opinion of a token. */
  isActiveAtServer(token: string): Promise<boolean>;
  /** The status of a call behind the authorizer. */
  call(token: string): Promise<number>;
  /** Unlinks, which must be answered 200, and returns the log line of it. */
  unlink(token: string): Promise<Record<string, unknown>>;
  /** A call of one of the functions that serve clients, as one of the client ids that the server or CLIENTS knows. */
  post(path: '/oauth/revoke' | '/oauth/introspect', clientId: string, token: string): Promise<Received>;
  close(): Promise<void>;
}

/** @param changesFor The functions' settings, given the server's URL. */
export async function startLinkedProject(
  changesFor: (authUrl: string) => Changes = () => ({}),
): Promise<LinkedProject> {
  const child = fork(fileURLToPath(new URL('./authorization-server-process.ts', import.meta.url)), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const [authUrl] = (await once(child, 'message')) as [string];
  const project = await startProject({ authUrl, ...changesFor(authUrl) });

  const introspectionUrl = `${project.gatewayUrl}/oauth/introspect`;
  let orders: Orders = { introspectionUrl, aheadS: 0 };
  async function order({ aheadS = orders.aheadS, asks }: { aheadS?: number; asks?: boolean }): Promise<void> {
    orders = { aheadS, introspectionUrl: asks === false ? undefined : introspectionUrl };
    child.send(orders);
    await once(child, 'message');
  }
  await order({});

  const askServer = async (path: string, clientId: string, fields: Record<string, string>) => {
    const response = await fetch(`${authUrl}${path}`, {
      method: 'POST',
      headers: { Authorization: basic(clientId, DEMO_SECRET) },
      body: new URLSearchParams(fields),
    });
    // What the endpoints of OAuth answer with; a test that reads a field which is not there fails.
    return { status: response.status, ...((await response.json()) as Record<string, unknown>) } as {
      status: number;
      active?: boolean;
      error?: string;
      access_token: string;
    };
  };

  return {
    project,
    authUrl,
    order,
    link: (username, format) => linkDemoUser(authUrl, username, format),
    async refresh({ refreshToken }, clientId = 'smart-home') {
      const fields = { grant_type: 'refresh_token', refresh_token: refreshToken };
      const { status, error, access_token } = await askServer('/token', clientId, fields);
      return { status, error, accessToken: access_token };
    },
    async isActiveAtServer(token) {
      return (await askServer('/token/introspection', 'unlink-functions', { token })).active === true;
    },
    call: (token) => callWhoami(project, token),
    unlink: (token) => unlinkRaw(project, token),
    post: (path, clientId, token) =>
      project.gateway(
        'POST',
        path,
        {
          Authorization: basic(clientId, DEMO_SECRET),
          'Content-Type': 'application/x-www-form-urlencoded',
        },
        new URLSearchParams({ token }).toString(),
      ),
    async close() {
      child.kill();
      await project.close();
    },
  };
}

/** The status of a call behind the authorizer. */
export async function callWhoami(project: EmulatedProject, token: string): Promise<number> {
  return (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status;
}

/** Unlinks by a raw call, which must be answered 200, and returns the log line of it. */
export async function unlinkRaw(project: EmulatedProject, token: string): Promise<Record<string, unknown>> {
  project.output.length = 0;
  const answer = await project.raw('smart-home-unlink', {
    headers: { request_id: '1111-aaaa', authorization: `Bearer ${token}` },
    request_type: 'unlink',
    api_version: 1.0,
  });
  expect(answer).toMatchObject({ status: 200, body: '{"request_id":"1111-aaaa"}' });
  return project.takeLogLine();
}
