import { apple } from './apple.ts';
import { discord } from './discord.ts';
import { facebook } from './facebook.ts';
import { github } from './github.ts';
import { gitlab } from './gitlab.ts';
import { google } from './google.ts';
import { oidc } from './oidc.ts';
import type { DescribeProvider } from './provider-mock.ts';
import { tcs } from './tcs.ts';
import { twitch } from './twitch.ts';
import { vkId } from './vk-id.ts';
import { yandex } from './yandex.ts';

/** Every provider whose revocation its vendor documents, as documented: the errors as well. */
export const PROVIDER_MOCKS: Readonly<Record<string, DescribeProvider>> = {
  ...{ apple, discord, facebook, github, gitlab, google, oidc, tcs, twitch, yandex },
  'vk-id': vkId,
};
