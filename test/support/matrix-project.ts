import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Certificates, createCertificateAuthority } from '#scripts/matrix/certificates.ts';
import { type Homeserver, startHomeserver } from '#scripts/matrix/homeserver.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import type { OwnedThreepid, ThreepidBinding } from '#shared/threepid/threepid-binding.ts';
import { type Changes, type EmulatedProject, type Received, startProject } from './emulated-project.ts';
import { createTemporaryFolder } from './temporary-folder.ts';

/** The functions in the emulator, and the homeserver whose users call them. */
export interface MatrixProject {
  readonly project: EmulatedProject;
  readonly homeserver: Homeserver;
  /** For servers on `localhost`, whose authority the functions trust. */
  readonly certificates: Certificates;
  /** A `POST` to `/account/3pid/…` of the client-server API. */
  post(operation: 'unbind' | 'bind', token: string | undefined, body: unknown, version?: string): Promise<Received>;
  /** Has the directory know binds: of a user's identifier at servers, each long ago. */
  remember(threepid: OwnedThreepid, idServers: readonly string[]): Promise<void>;
  put(binding: ThreepidBinding): Promise<void>;
  /** What the directory knows of an identifier. */
  known(threepid: OwnedThreepid): Promise<readonly ThreepidBinding[]>;
  close(): Promise<void>;
}

/** @param allowed The identity servers that may be asked though they are on this machine, as far as they are known yet. */
export async function startMatrixProject(
  certificates: Certificates,
  allowed: readonly string[],
  { local, ...changes }: Changes = {},
): Promise<MatrixProject> {
  const folder = createTemporaryFolder();
  const caFile = join(folder.path, 'ca.pem');
  writeFileSync(caFile, certificates.ca);
  const homeserver = await startHomeserver({ port: 0 });
  const project = await startProject({
    ...changes,
    local: {
      MATRIX_HOMESERVER_URL: homeserver.url,
      MATRIX_SERVER_NAME: homeserver.serverName,
      MATRIX_SIGNING_KEY: homeserver.signingKey,
      ID_SERVER_ALLOW: allowed.join(','),
      ID_SERVER_CA_FILE: caFile,
      ...local,
    },
  });
  const useDirectory = async <Result>(
    work: (of: Awaited<ReturnType<typeof openSqliteDirectory>>) => Promise<Result>,
  ) => {
    const directory = await openSqliteDirectory(project.database);
    try {
      return await work(directory);
    } finally {
      await directory.close();
    }
  };
  return {
    project,
    homeserver,
    certificates,
    post: (operation, token, body, version = 'v3') =>
      project.gateway(
        'POST',
        `/_matrix/client/${version}/account/3pid/${operation}`,
        { 'Content-Type': 'application/json', ...(token !== undefined && { Authorization: `Bearer ${token}` }) },
        typeof body === 'string' ? body : JSON.stringify(body),
      ),
    remember: (threepid, idServers) =>
      useDirectory(async ({ threepids }) => {
        for (const idServer of idServers) {
          await threepids.put({ ...threepid, idServer, bindId: 'before', state: 'bound', begunAt: 1 });
        }
      }),
    put: (binding) => useDirectory(async ({ threepids }) => void (await threepids.put(binding))),
    known: (threepid) => useDirectory(({ threepids }) => threepids.find(threepid)),
    async close() {
      await Promise.all([project.close(), homeserver.close()]);
      folder.remove();
    },
  };
}

/** Certificates that the servers of a test show. */
export async function makeCertificates(): Promise<Certificates> {
  return (await createCertificateAuthority()).issue(['localhost']);
}
