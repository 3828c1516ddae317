import inject from 'light-my-request';
import Provider from 'oidc-provider';

const CLIENT = {
  client_id: 'bench',
  client_secret: 'obviously-fake',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
const KNOWN = 1000;
/** Longer than any run. */
const TTL_S = 86_400;

/** Revocation and introspection of oidc-provider, whose opaque tokens are rows of a Map. In process by light-my-request. */
export async function openPeer() {
  const rows = new Map();
  /** What its documentation asks of an adapter, as far as these two endpoints use it. */
  class MapAdapter {
    constructor(model) {
      this.model = model;
    }
    async upsert(id, payload) {
      rows.set(`${this.model}:${id}`, payload);
    }
    async find(id) {
      return rows.get(`${this.model}:${id}`);
    }
    async destroy(id) {
      rows.delete(`${this.model}:${id}`);
    }
  }
  const quiet = { warn: console.warn, info: console.info };
  console.warn = console.info = () => {}; // that it is meant for development alone
  const provider = new Provider('http://127.0.0.1', {
    adapter: MapAdapter,
    clients: [CLIENT],
    ttl: { ClientCredentials: TTL_S },
    features: { clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true } },
  });
  Object.assign(console, quiet);
  const client = await provider.Client.find(CLIENT.client_id);
  const issue = () => new provider.ClientCredentials({ client }).save(TTL_S);
  const listener = provider.callback();

  const authorization = `Basic ${Buffer.from(`${CLIENT.client_id}:${CLIENT.client_secret}`).toString('base64')}`;
  const requestOf = (path, token) => ({
    method: 'POST',
    path,
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body: `token=${token}`,
  });
  const known = [];
  for (let number = 0; number < KNOWN; number += 1) known.push(await issue());
  let fresh = new Map();
  const requests = {
    revoke: (index) => requestOf('/token/revocation', fresh.get(index)),
    check: (index) => requestOf('/token/introspection', known[index % KNOWN]),
  };
  const operation = (name) => ({
    async call(index) {
      const { method, path, headers, body } = requests[name](index);
      const { statusCode, payload } = await inject(listener, { method, url: path, headers, payload: body });
      const isDone = statusCode === 200 && (name !== 'check' || payload.includes('"active":true'));
      if (!isDone) throw new Error(`oidc-provider answered ${name} ${statusCode} ${payload}`);
    },
    http: requests[name],
  });
  return {
    operations: {
      revoke: {
        ...operation('revoke'),
        async prepare(from, count) {
          fresh = new Map();
          for (let index = from; index < from + count; index += 1) fresh.set(index, await issue());
        },
      },
      check: operation('check'),
    },
    listener,
  };
}
