import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startProject, TEST_KEYS } from '#test/support/emulated-project.ts';
import { unlinkRaw } from '#test/support/linked-project.ts';
import { ISSUER_API, type RealIssuer, startRealIssuer } from '#test/support/real-issuers.ts';

let issuer: RealIssuer;

beforeAll(async () => {
  issuer = await startRealIssuer('better-auth');
});

afterAll(() => issuer.close());

/** The functions' client at better-auth, which knows no other. */
const client = () => ({ client_id: issuer.clientId, client_secret: issuer.clientSecret });

const jwtRow = () => ({ audience: ISSUER_API, jwks_uri: issuer.jwksUri });
// Its introspection says no audience of an opaque token; its refresh tokens have no azp.
const opaqueRow = () => ({ introspection: { endpoint: issuer.introspectionEndpoint, ...client() }, require: ['azp'] });

/** Starts the built functions, which call better-auth's revocation endpoint at an unlink. */
async function start(row: object) {
  const ending = { issuer: issuer.issuer, preset: 'rfc7009', endpoint: issuer.revocationEndpoint, ...client() };
  const project = await startProject({
    authUrl: issuer.issuer,
    local: {
      ISSUERS: JSON.stringify([{ issuer: issuer.issuer, ...row }]),
      END_GRANT: JSON.stringify([ending]),
      ...{ GRANT_CLAIM: null, ENCRYPTION_KEYS: TEST_KEYS },
    },
  });
  onTestFinished(() => project.close());
  return project;
}

/** What the outbox says of its jobs. */
function jobs(database: string) {
  const connection = new DatabaseSync(database);
  const rows = connection.prepare('SELECT state, result FROM outbox_job').all();
  connection.close();
  return rows;
}

test.each([
  ['opaque token', opaqueRow, undefined, { reached: ['cut_off', 'upstream_token'] }, 'upstream_token'],
  ['JWT', jwtRow, ISSUER_API, { reached: ['cut_off'], upstream: 'unsupported' }, 'unsupported'],
])(
  'better-auth with rfc7009, %s: the refresh token lives on, and nothing says that the grant has ended',
  async (_, rowOf, resource, line, result) => {
    const project = await start(rowOf());
    const link = await issuer.link(resource);

    expect(await unlinkRaw(project, link.accessToken)).toMatchObject(line);

    expect(jobs(project.database)).toEqual([{ state: 'done', result }]);
    expect(await issuer.refresh(link, resource)).toMatchObject({ accessToken: expect.any(String) });
  },
);
