import { createHash } from 'node:crypto';
import { isFailure } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import type { OutgoingRequest, Send } from '../outgoing/send.ts';
import { BindRefusal } from './bind-refusal.ts';
import type { ClientAuthentication, ProfileCall } from './provider-settings.ts';

/** Whose token is shown to the provider, and by whom. */
export interface ProfileCaller {
  readonly accessToken: string;
  readonly clientId: string;
  readonly authentication: ClientAuthentication;
}

/**
 * Asks a provider that does not speak OpenID Connect whose token it is.
 *
 * @throws {BindRefusal}
 */
export async function fetchProfile(
  call: ProfileCall,
  caller: ProfileCaller,
  send: Send,
  timeoutMs: number,
): Promise<JsonObject> {
  try {
    const response = await send({ ...createRequest(call, caller), timeoutMs });
    if (response.status !== 200) throw new BindRefusal('profile_unavailable', `profile: status ${response.status}`);
    return jsonObjectOf(response);
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw new BindRefusal('profile_unavailable', `profile: ${error.message}`);
  }
}

type Request = Pick<OutgoingRequest, 'method' | 'url' | 'headers' | 'body'>;

function createRequest(call: ProfileCall, caller: ProfileCaller): Request {
  const { endpoint, accept = 'application/json', parameters = {} } = call;
  const { accessToken, clientId } = caller;
  const headers = { Accept: accept, 'User-Agent': 'unlink-functions' };
  const form = (fields: Readonly<Record<string, string>>): Request => ({
    method: 'POST',
    url: endpoint,
    headers: { ...headers, 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  });
  switch (call.call) {
    case 'bearer':
    case 'oauth': {
      const Authorization = `${call.call === 'oauth' ? 'OAuth' : 'Bearer'} ${accessToken}`;
      return { method: 'GET', url: withQuery(endpoint, parameters), headers: { ...headers, Authorization } };
    }
    case 'query':
      return { method: 'GET', url: withQuery(endpoint, { ...parameters, access_token: accessToken }), headers };
    case 'form':
      return form({ ...parameters, client_id: clientId, access_token: accessToken });
    case 'ok':
      return form(signForOk({ ...parameters, format: 'json', method: 'users.getCurrentUser' }, caller));
  }
}

function withQuery(endpoint: string, parameters: Readonly<Record<string, string>>): string {
  const url = new URL(endpoint);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** @see https://apiok.ru/dev/methods/ */
function signForOk(
  parameters: Readonly<Record<string, string>>,
  { accessToken, authentication }: ProfileCaller,
): Readonly<Record<string, string>> {
  const secret = 'secret' in authentication ? authentication.secret : '';
  const pairs = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  const sig = md5(pairs.sort().join('') + md5(accessToken + secret));
  return { ...parameters, access_token: accessToken, sig };
}

/** What ok.ru signs with; nothing of ours rests on it. */
function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
