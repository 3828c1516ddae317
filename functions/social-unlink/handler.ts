import { LinkEnvironment, openLinkPorts } from '#shared/account-link/open-ports.ts';
import { ProtectLastLinkEnvironment } from '#shared/account-link/unlink-account.ts';
import { openRevocationJobs, RevocationJobEnvironment } from '#shared/grant-revocation/open-ports.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { corsHeaders, PREFLIGHT_HEADERS, ShopOriginsEnvironment } from '#shared/social-unlink/shop-origins.ts';
import { SocialUnlinkEnvironment, type SocialUnlinkPorts, unlinkSocial } from '#shared/social-unlink/unlink-social.ts';
import providers from '../../providers.json' with { type: 'json' };
import { script } from './ss-mi.ts?script';

type Ports = SocialUnlinkPorts & { readonly shopOrigins: readonly string[] };

const unlink: Operation<Ports> = async (call, ports) => {
  const isFull = call.parameters().view === 'full';
  const { unlinked, ...body } = await unlinkSocial(
    { ...call, allowsBasic: true, fields: () => call.fields('json') },
    ports,
  );
  return { status: 200, body: isFull ? { ...body, ...unlinked } : body };
};

/** The browser's half, for any page: what it may read is up to the call. */
const serveScript: Operation<Ports> = async () => ({
  status: 200,
  headers: {
    'Content-Type': 'text/javascript; charset=utf-8',
    'Cache-Control': 'public, max-age=300',
    'Access-Control-Allow-Origin': '*',
  },
  body: Buffer.from(script),
});

/** The social login of a shop's user, unlinked by e-mail (ShopSocially `ssmi_unlink_user`). */
export const handler = defineFunction({
  name: 'social-unlink',
  environment: {
    ...LinkEnvironment,
    ...RevocationJobEnvironment,
    ...ProtectLastLinkEnvironment,
    ...SocialUnlinkEnvironment,
    ...ShopOriginsEnvironment,
  },
  ports: (settings, platform) => {
    const ports = openLinkPorts(settings, platform);
    return {
      ...ports,
      ...openRevocationJobs(providers, settings, { links: ports.directory.links, secrets: platform.secrets }),
      protectLastLink: settings.PROTECT_LAST_LINK === 'true',
      networkClaim: settings.NETWORK_CLAIM,
      shopOrigins: settings.SHOP_ORIGINS,
    };
  },
  raw: { 'social.unlink': unlink },
  gateway: {
    'social-unlink': unlink,
    'social-unlink.script': serveScript,
    'social-unlink.preflight': async () => ({ status: 204, headers: PREFLIGHT_HEADERS }),
  },
  headers: (header, ports) => corsHeaders(header('origin'), ports?.shopOrigins ?? []),
  errorBody: (code) => ({
    error: true,
    // The two reasons of the document, in which a malformed address is a missing one.
    reason: code === 'invalid_request' ? 'Email address missing' : 'Error while Unlinking Social Login User',
  }),
});
