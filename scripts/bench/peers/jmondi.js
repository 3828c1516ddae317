import { AuthorizationServer, DateInterval, OAuthRequest } from '@jmondi/oauth2-server';
import jsonwebtoken from 'jsonwebtoken';

const SECRET = 'obviously-fake-secret-of-a-benchmark';
const CLIENT = {
  id: 'bench',
  name: 'bench',
  secret: 'obviously-fake',
  redirectUris: [],
  allowedGrants: ['client_credentials'],
  scopes: [],
};
const KNOWN = 1000;

/** Revocation (RFC 7009) and introspection (RFC 7662) of @jmondi/oauth2-server, whose tokens are rows of a Map. */
export async function openPeer() {
  const rows = new Map();
  const revoked = new Set();
  const issue = (name) => {
    rows.set(name, {
      accessToken: name,
      accessTokenExpiresAt: new Date(Date.now() + 3_600_000),
      client: CLIENT,
      scopes: [],
    });
    return jsonwebtoken.sign({ jti: name, cid: CLIENT.id }, SECRET, { expiresIn: '1h' });
  };
  const tokens = {
    async getByAccessToken(name) {
      if (revoked.has(name)) throw new Error('revoked');
      return rows.get(name);
    },
    async revoke({ accessToken }) {
      revoked.add(accessToken);
    },
  };
  const clients = {
    getByIdentifier: async () => CLIENT,
    isClientValid: async (_grant, client, secret) => client.secret === secret,
  };
  const server = new AuthorizationServer(clients, tokens, { getAllByIdentifiers: async () => [] }, SECRET, {
    logger: { log: () => {} },
  });
  server.enableGrantType('client_credentials', new DateInterval('1h'));

  const authorization = `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64')}`;
  const requestOf = (token) => ({ headers: { authorization }, body: { token } });
  const answer = {
    revoke: (request) => server.revoke(new OAuthRequest(request)),
    check: async (request) => {
      const response = await server.introspect(new OAuthRequest(request));
      if (!response.body.active) throw new Error('a live token is not active');
      return response;
    },
  };
  const known = Array.from({ length: KNOWN }, (_, index) => requestOf(issue(`known-${index}`)));
  let fresh = new Map();
  const operations = {
    revoke: {
      prepare(from, count) {
        fresh = new Map(
          Array.from({ length: count }, (_, offset) => [from + offset, requestOf(issue(`new-${from + offset}`))]),
        );
      },
      call: (index) => answer.revoke(fresh.get(index)),
      event: (index) => fresh.get(index),
    },
    check: {
      call: (index) => answer.check(known[index % KNOWN]),
      event: (index) => known[index % KNOWN],
    },
  };
  return {
    operations,
    /** Behind the same bare host as ours. */
    answer: async (operation, event) => {
      const { status, body } = await answer[operation](event);
      return { status, body };
    },
  };
}
