import { basicAuthorization } from '../outgoing/json.ts';
import type { OutgoingRequest } from '../outgoing/send.ts';

/** How a client authenticates (RFC 6749, section 2.3.1). */
export type ClientAuthMethod = 'client_secret_basic' | 'client_secret_post' | 'none';

/** The form that an endpoint of OAuth is sent. @param client Nobody if not given. */
export function formRequest(
  url: string,
  fields: Readonly<Record<string, string>>,
  client?: {
    readonly clientId: string;
    readonly clientSecret?: string | undefined;
    readonly authMethod: ClientAuthMethod;
  },
): Omit<OutgoingRequest, 'timeoutMs'> {
  const body = new URLSearchParams(fields);
  const { clientId, clientSecret = '', authMethod } = client ?? {};
  if (clientId !== undefined && authMethod !== 'client_secret_basic') body.set('client_id', clientId);
  if (authMethod === 'client_secret_post') body.set('client_secret', clientSecret);
  const isBasic = clientId !== undefined && authMethod === 'client_secret_basic';
  return {
    method: 'POST',
    url,
    headers: {
      Accept: 'application/json',
      'Content-Type': 'application/x-www-form-urlencoded',
      ...(isBasic && { Authorization: basicAuthorization(clientId, clientSecret) }),
    },
    body: body.toString(),
  };
}
