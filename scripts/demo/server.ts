import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer, json } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { linkDemoUser } from '../authorization-server/demo.ts';
import { closeServer, listenOnLoopback } from '../authorization-server/listen.ts';
import type { GivenCount } from '../authorization-server/server.ts';

/** Where the demo application listens, and whom it talks to. */
export interface DemoOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  readonly authUrl: string;
  /** As the browser knows it. */
  readonly gatewayUrl: string;
  /** What the gateway's paths of the Blitz API begin with. */
  readonly contextPrefix: string;
  /** What the external provider has given `dev_1` or `dev_2` about an account, by its own books, not by ours. */
  readonly countGivenAtProvider: (clientId: string, accountId: string) => GivenCount;
}

/** The running application, by the name that the browser knows this machine by. */
export interface DemoApplication {
  readonly url: string;
  close(): Promise<void>;
}

/** What its user gives it. */
const SCOPE = 'blitz_api_ufa blitz_api_ufa_chg';

/** Files of this folder; whatever the browser brings with it, the page reads itself. */
const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'page.html', type: 'text/html; charset=utf-8' },
  '/callback': { file: 'page.html', type: 'text/html; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
};

/**
 * Starts a shop that has its users link accounts: a page, which unlinks by `ss_mi.js` of the gateway too, and a back
 * end that hands the page's calls on to the API. It is for looking at, on this machine alone: anybody is signed in by
 * name, the page holds the token, and the provider tells what it has given.
 *
 * @throws {StartError}
 */
export async function startDemoApplication(options: DemoOptions): Promise<DemoApplication> {
  const { authUrl, gatewayUrl, contextPrefix, countGivenAtProvider } = options;
  const api = `${contextPrefix}/api/`;

  const headers = headersFor(gatewayUrl);

  const signIn = async (user: string) => (await linkDemoUser(authUrl, user, 'jwt', SCOPE, 'demo')).accessToken;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', url);
    const file = request.method === 'GET' ? FILES[pathname] : undefined;
    if (file !== undefined) return sendFile(response, file);
    if (pathname.startsWith(api)) return await forward(request, response);
    switch (`${request.method} ${pathname}`) {
      case 'GET /settings.json':
        return sendJson(response, 200, { api: `${contextPrefix}/api`, gateway: gatewayUrl });
      case 'POST /sign-in':
        return await startSession(request, response);
      case 'GET /at-provider': {
        const account = [searchParams.get('name') ?? '', searchParams.get('sid') ?? ''] as const;
        return sendJson(response, 200, countGivenAtProvider(...account));
      }
      case 'GET /bind':
        return await startBind(response, searchParams);
      default:
        response.writeHead(404).end();
    }
  }

  async function startSession(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const accessToken = await signIn(String(await json(request)));
    sendJson(response, 200, { accessToken, email: decodeJwt(accessToken).email });
  }

  /** A link that starts a bind: what the page's buttons do, without the page. */
  async function startBind(response: ServerResponse, query: URLSearchParams): Promise<void> {
    const started = await fetch(`${gatewayUrl}${api}v2/users/current/fa/bind`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${await signIn(query.get('user') ?? 'ann')}`,
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({ fp: query.get('fp') ?? 'oidc:dev_1', callback: `${url}/callback` }),
    });
    const body: unknown = await started.json();
    const isStarted = typeof body === 'object' && body !== null && 'redirectTo' in body;
    if (!isStarted) return sendJson(response, started.status, body);
    response.writeHead(303, { Location: String(body.redirectTo) }).end();
  }

  function sendFile(response: ServerResponse, { file, type }: { readonly file: string; readonly type: string }): void {
    response
      .writeHead(200, { ...headers, 'Content-Type': type })
      .end(readFileSync(new URL(`./${file}`, import.meta.url)));
  }

  function sendJson(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  }

  async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { authorization = '', 'content-type': type = '' } = request.headers;
    const body = await buffer(request);
    const answered = await fetch(`${gatewayUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { Authorization: authorization, ...(type !== '' && { 'Content-Type': type }) },
      ...(body.length > 0 && { body }),
    });
    const text = await answered.text();
    response
      .writeHead(answered.status, { 'Content-Type': answered.headers.get('content-type') ?? 'text/plain' })
      .end(text);
  }

  const http = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 502, { error: String(error) });
    });
  });
  const url = `http://localhost:${await listenOnLoopback(http, options.port)}`;
  return { url, close: () => closeServer(http) };
}

/** @param gatewayUrl Whose script the page runs, and whom that calls. */
function headersFor(gatewayUrl: string): Readonly<Record<string, string>> {
  return {
    'Cache-Control': 'no-store',
    // The callback's address is nobody else's business.
    'Referrer-Policy': 'no-referrer',
    'Content-Security-Policy': [
      "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'",
      `script-src 'self' ${gatewayUrl}/ss_mi.js`,
      `connect-src 'self' ${gatewayUrl}/social/unlink`,
    ].join('; '),
  };
}
