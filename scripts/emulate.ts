import { DEMO_GRANT_TYPE, DEMO_SECRET } from './authorization-server/demo.ts';
import {
  databasePath,
  exitOnSignals,
  type LocalEmulator,
  type LocalSettings,
  readLocalSettings,
  runProgram,
  startLocalEmulator,
} from './local-emulator.ts';

/** The command line: runs the built functions on an embedded store until it is told to stop. */
async function main(): Promise<void> {
  const settings = readLocalSettings('npm start --');
  const emulator = await startLocalEmulator(settings);
  exitOnSignals(() => emulator.close());
  process.stdout.write(introduction(emulator, settings));
}

function introduction(emulator: LocalEmulator, settings: LocalSettings): string {
  const functions = emulator.functionsUrl.replace('127.0.0.1', 'localhost');
  const gateway = emulator.gatewayUrl.replace('127.0.0.1', 'localhost');
  const auth = emulator.authUrl?.replace('127.0.0.1', 'localhost');
  const { providerUrl, demoUrl } = emulator;
  const servers =
    auth &&
    `
  auth       ${auth}   the authorization server: any user name, client smart-home
  provider   ${providerUrl}   the external providers oidc:dev_1 and oidc:dev_2: any user name
  demo       ${demoUrl}   a shop that links accounts in the browser and unlinks them by ss_mi.js
             ${demoUrl}/bind?user=ann&fp=oidc:dev_1   starts it at once; confirm as ann`;
  return `
unlink-functions in an emulator of Yandex Cloud Functions and API Gateway

  functions  ${functions}/<function>?integration=raw   smart-home-unlink, token-authorize, token-revoke, token-introspect, external-provider-{list,link,delete,bind}
  gateway    ${gateway}   POST /v1.0/user/unlink, HEAD /v1.0/, GET /whoami (behind token-authorize), POST /oauth/revoke, /oauth/introspect, GET ${settings.contextPrefix}/api/v3/users/current/fa${servers ?? ''}
  store      ${databasePath(settings)}
${auth === undefined ? '' : walkThrough(functions, gateway, auth, settings.contextPrefix)}
Each call writes a line of its log below. Ctrl-C ends it.

`;
}

/** What to paste, in this order. */
function walkThrough(functions: string, gateway: string, auth: string, contextPrefix: string): string {
  const client = `-u smart-home:${DEMO_SECRET}`;
  const link = `TOKENS=$(curl -s ${client} -d grant_type=${DEMO_GRANT_TYPE} -d username=ann ${auth}/token)`;
  const call = `curl -i -H "Authorization: Bearer $(token access_token)" ${gateway}/whoami`;
  return `
A user links the accounts:

  ${link}
  token() { node -p "JSON.parse(process.argv[1]).$1" "$TOKENS"; }

The user's token is let in:                       200 {"authorized":true}

  ${call}

The user unlinks the accounts:                    200 {"request_id":"1111-aaaa-2222-bbbb"}

  curl -i -X POST '${functions}/smart-home-unlink?integration=raw' -H 'Content-Type: application/json' \\
    -d '{"headers":{"request_id":"1111-aaaa-2222-bbbb","authorization":"Bearer '$(token access_token)'"},"request_type":"unlink","api_version":1.0}'

The token is refused, and no other is to be had:  403, then 400 {"error":"invalid_grant",…}

  ${call}
  curl -i ${client} -d grant_type=refresh_token -d refresh_token=$(token refresh_token) ${auth}/token

The user links the accounts again and is let in:  200 {"authorized":true}

  ${link}
  ${call}

The user unlinks them over the gateway:           200 {"request_id":"2222-cccc"}

  curl -i -X POST -H "Authorization: Bearer $(token access_token)" -H 'X-Request-Id: 2222-cccc' ${gateway}/v1.0/user/unlink

An application has a user link an account at VK:  200 {"redirectTo":"https://oauth.vk.com/authorize?…"}

  curl -i ${gateway}${contextPrefix}/api/v2/users/current/fa/bind -H 'Content-Type: application/json' \\
    -H 'Authorization: Basic ZG5ldm5pay10ZXN0Lm1vcy5ydTphUU56S0JuY2VBQVQwelg' \\
    -d '{"fp":"vk:vk_1","callback":"https://app.company.com/callback"}'
`;
}

runProgram(main);
