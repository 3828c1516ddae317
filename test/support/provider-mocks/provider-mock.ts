import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Send, send } from '#shared/outgoing/send.ts';
import { startHttpServer } from '../http-server.ts';
import { basic } from '../test-issuer.ts';

/** Our client at every mock. */
export const MOCK_CLIENT_ID = 'client-1';
/** Its secret. */
export const MOCK_CLIENT_SECRET = 'secret-1';
/** Whose grant it is. */
export const MOCK_SID = 'account-1';
/** The device that the tokens were issued to. */
export const MOCK_DEVICE_ID = 'device-1';

/** What a user has granted our client: the tokens that live. */
export interface MockGrant {
  readonly access: Set<string>;
  readonly refresh: Set<string>;
  /** Ends all of it. */
  end(): void;
  /** Ends a token; false: it was dead. */
  endToken(token: string | null): boolean;
  /** Tokens in place of a refresh token, which is spent with that; undefined: it was dead. */
  exchange(refreshToken: string | null): { readonly access_token: string; readonly refresh_token: string } | undefined;
}

/** A call, as a provider sees it. */
export interface MockCall {
  readonly headers: IncomingHttpHeaders;
  readonly query: URLSearchParams;
  readonly form: URLSearchParams;
  readonly body: string;
  /** Whether our client shows itself by HTTP Basic. */
  readonly isOurBasic: boolean;
  /** Whether our client shows itself by its secret in the form. */
  readonly isOurPost: boolean;
}

/** An answer; a body that is no string is sent as JSON. */
export interface MockReply {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a provider answers to calls, by `METHOD host/path`. */
export type DescribeProvider = (
  grant: MockGrant,
) => Readonly<Record<string, (call: MockCall) => MockReply | Promise<MockReply>>>;

/** A provider on loopback. */
export interface ProviderMock {
  readonly grant: MockGrant;
  /** To where the provider's hosts are here, and to nowhere else. */
  readonly send: Send;
  /** What it was called for, in its order. */
  readonly calls: string[];
  /** The calls themselves. */
  readonly seen: MockCall[];
  /** In place of the answers to calls that begin so; what was asked for is not done. */
  trouble: { readonly at: string; readonly reply: MockReply } | undefined;
}

/** The tokens that are live when a mock starts. */
export const MOCK_TOKENS = { refreshToken: 'refresh-token-1', accessToken: 'access-token-1' } as const;

/** Starts it for one test. What it has no answer for is a 599, which no provider gives. */
export async function startProviderMock(describe: DescribeProvider): Promise<ProviderMock> {
  const grant = createGrant();
  const answers = describe(grant);
  const base = await startHttpServer(async (request, response) => {
    const { pathname, searchParams: query } = new URL(request.url ?? '', 'http://mock');
    const name = `${request.method} ${pathname.slice(1)}`;
    const body = await text(request);
    const form = new URLSearchParams(body);
    const isOurBasic = request.headers.authorization === basic(MOCK_CLIENT_ID, MOCK_CLIENT_SECRET);
    const isOurPost = form.get('client_id') === MOCK_CLIENT_ID && form.get('client_secret') === MOCK_CLIENT_SECRET;
    const call = { headers: request.headers, query, form, body, isOurBasic, isOurPost };
    mock.calls.push(name);
    mock.seen.push(call);
    const { trouble } = mock;
    const isTrouble = trouble !== undefined && name.startsWith(trouble.at);
    const reply = isTrouble ? trouble.reply : ((await answers[name]?.(call)) ?? { status: 599 });
    response.writeHead(reply.status, { 'Content-Type': 'application/json', ...reply.headers });
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
  });
  const mock: ProviderMock = {
    grant,
    calls: [],
    seen: [],
    trouble: undefined,
    send: (request) => send({ ...request, url: request.url.replace(/^https:\//, base) }),
  };
  return mock;
}

function createGrant(): MockGrant {
  const access = new Set<string>([MOCK_TOKENS.accessToken]);
  const refresh = new Set<string>([MOCK_TOKENS.refreshToken]);
  return {
    access,
    refresh,
    end() {
      access.clear();
      refresh.clear();
    },
    endToken: (token) => access.delete(token ?? '') || refresh.delete(token ?? ''),
    exchange(refreshToken) {
      if (!refresh.delete(refreshToken ?? '')) return undefined;
      access.clear();
      const [access_token, refresh_token] = [randomBytes(9).toString('hex'), randomBytes(9).toString('hex')];
      access.add(access_token);
      refresh.add(refresh_token);
      return { access_token, refresh_token };
    },
  };
}
