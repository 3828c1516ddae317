import { createHash } from 'node:crypto';
import type { ExternalIdentity } from '#shared/account-link/account-link.ts';
import { boundToLink, type ProviderTokens, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { type UnlinkAccountPorts, type Unlinked, unlinkAccount } from '#shared/account-link/unlink-account.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { createRevocationJobs } from '#shared/grant-revocation/revocation-jobs.ts';
import { send } from '#shared/outgoing/send.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import { testKey, testProvider } from './outbox-run.ts';

const SUBJECT = 'ann';
const SECRET = 'development-only';
const KEYS = [testKey('k1')];

const identityOf = (sid: string): ExternalIdentity => ({ fpType: 'oidc', fpName: 'dev_1', sid });

/** Links an account at the provider of `outbox-run.ts`, with tokens. */
export async function linkAccount(
  { links }: Directory,
  sid: string,
  tokens: ProviderTokens = { refreshToken: `refresh-${sid}`, accessToken: `access-${sid}` },
): Promise<void> {
  const link = { ...identityOf(sid), subject: SUBJECT };
  await links.link({
    ...link,
    evidence: 'proved',
    tokens: sealTokens(tokens, boundToLink(link), KEYS),
    audit: { actor: 'operator', requestId: 'r' },
  });
}

/** A call of the use case that deletes the link, by an application. */
export function callUnlink(
  directory: Directory,
  endpoint: string,
  sid: string,
  { remainingMs = () => 5000, now = Date.now }: { remainingMs?: () => number; now?: () => number } = {},
): Promise<Unlinked> {
  const providers = [testProvider(endpoint)];
  const ports: UnlinkAccountPorts = {
    directory,
    providers,
    protectLastLink: false,
    doJob: createRevocationJobs({ providers, encryptionKeys: KEYS, send, now }),
    now,
    verify: async () => ({ status: 'unverified' }),
    revocations: openMemoryStore(),
    peppers: [],
    issuer: 'https://issuer.example',
    clients: [
      {
        id: 'admin',
        secret_sha256: createHash('sha256').update(SECRET).digest('hex'),
        scopes: ['blitz_api_sys_ufa_chg'],
        callbacks: [],
      },
    ],
    scopeNames: {
      blitz_api_ufa: 'blitz_api_ufa',
      blitz_api_sys_ufa: 'blitz_api_sys_ufa',
      blitz_api_ufa_chg: 'blitz_api_ufa_chg',
      blitz_api_sys_ufa_chg: 'blitz_api_sys_ufa_chg',
    },
  };
  const request = {
    requestId: `request of ${sid}`,
    authorization: `Basic ${Buffer.from(`admin:${SECRET}`).toString('base64')}`,
    allowsBasic: true,
    remainingMs,
    parameters: () => ({ subjectId: SUBJECT, ...identityOf(sid) }),
    note: () => {},
    audit: () => {},
    alert: () => {},
  };
  return unlinkAccount(request, ports);
}
