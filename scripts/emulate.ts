import { DEMO_GRANT_TYPE, DEMO_SECRET, PLAIN_CLIENT } from './authorization-server/demo.ts';
import {
  databasePath,
  exitOnSignals,
  type LocalEmulator,
  type LocalSettings,
  readLocalSettings,
  runProgram,
  startLocalEmulator,
} from './local-emulator.ts';
import type { MatrixServers } from './matrix/matrix-servers.ts';

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
  const { providerUrl, demoUrl, matrix } = emulator;
  const servers =
    auth &&
    `
  auth       ${auth}   the authorization server: any user name, client smart-home
  provider   ${providerUrl}   the external providers oidc:dev_1 and oidc:dev_2: any user name
  demo       ${demoUrl}   a shop that links accounts in the browser and unlinks them by ss_mi.js
             ${demoUrl}/bind?user=ann&fp=oidc:dev_1   starts it at once; confirm as ann`;
  const matrixServers =
    matrix &&
    `
  homeserver ${matrix.homeserverUrl}   the Matrix homeserver ${matrix.homeserverName}: any user name and password
  identity   ${matrix.identityUrl}   the identity server ${matrix.identityName}: any address; its CA is ${matrix.caFile}`;
  return `
unlink-functions in an emulator of Yandex Cloud Functions and API Gateway

  functions  ${functions}/<function>?integration=raw   smart-home-unlink, token-authorize, token-revoke, token-introspect, external-provider-{list,link,delete,bind}, social-unlink, threepid-{unbind,bind}, maintenance
  gateway    ${gateway}   POST /v1.0/user/unlink, HEAD /v1.0 and /v1.0/, GET /whoami (behind token-authorize), POST /oauth/revoke, /oauth/introspect, GET ${settings.contextPrefix}/api/v3/users/current/fa, POST /social/unlink, /_matrix/client/v3/account/3pid/{unbind,bind}${servers ?? ''}${matrixServers ?? ''}
  store      ${databasePath(settings)}
${auth === undefined ? '' : walkThrough(functions, gateway, auth, settings.contextPrefix)}${matrix === undefined ? '' : matrixWalkThrough(gateway, matrix)}
Each call writes a line of its log below. Ctrl-C ends it.

`;
}

/** What to paste, in this order. */
function walkThrough(functions: string, gateway: string, auth: string, contextPrefix: string): string {
  const client = `-u smart-home:${DEMO_SECRET}`;
  const plain = `-u ${PLAIN_CLIENT}:${DEMO_SECRET}`;
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

A client whose tokens name no grant, at a server that does not ask before a refresh. The unlink ends the grant at the
server, by its own API (END_GRANT):               200 {"request_id":"3333-dddd"}, then 400 {"error":"invalid_grant",…}
Its log line says what the server confirmed:      "reached":["cut_off","upstream_grant"]

  TOKENS=$(curl -s ${plain} -d grant_type=${DEMO_GRANT_TYPE} -d username=ann ${auth}/token)
  curl -i -X POST -H "Authorization: Bearer $(token access_token)" -H 'X-Request-Id: 3333-dddd' ${gateway}/v1.0/user/unlink
  curl -i ${plain} -d grant_type=refresh_token -d refresh_token=$(token refresh_token) ${auth}/token

An application has a user link an account at VK:  200 {"redirectTo":"https://oauth.vk.com/authorize?…"}

  curl -i ${gateway}${contextPrefix}/api/v2/users/current/fa/bind -H 'Content-Type: application/json' \\
    -H 'Authorization: Basic ZG5ldm5pay10ZXN0Lm1vcy5ydTphUU56S0JuY2VBQVQwelg' \\
    -d '{"fp":"vk:vk_1","callback":"https://app.company.com/callback"}'
`;
}

/** What to paste then, in this order. */
function matrixWalkThrough(gateway: string, matrix: MatrixServers): string {
  const { homeserverUrl, homeserverName, identityUrl, identityName, caFile } = matrix;
  const account = `${gateway}/_matrix/client/v3/account/3pid`;
  return `
A Matrix user signs in at both servers, and shows that an address is hers:

  field() { node -p "JSON.parse(process.argv[1]).$1" "$(cat)"; }
  MATRIX=$(curl -s -d '{"type":"m.login.password","identifier":{"type":"m.id.user","user":"ann"}}' ${homeserverUrl}/_matrix/client/v3/login | field access_token)
  identity() { curl -s --cacert '${caFile}' -H "Authorization: Bearer $IDENTITY" ${identityUrl}/_matrix/identity/v2"$@"; }
  IDENTITY=$(identity /account/register -d '{"matrix_server_name":"${homeserverName}","access_token":"any"}' | field token)
  SID=$(identity /validate/email/requestToken -d '{"client_secret":"any","email":"ann@example.test","send_attempt":1}' | field sid)

She binds it, and is found by it:                 200 {}, then 200 {"mappings":{"ann@example.test email":"@ann:${homeserverName}"}}

  curl -i -H "Authorization: Bearer $MATRIX" ${account}/bind \\
    -d '{"client_secret":"any","sid":"'$SID'","id_server":"${identityName}","id_access_token":"'$IDENTITY'"}'
  LOOKUP='{"addresses":["ann@example.test email"],"algorithm":"none","pepper":"'$(identity /hash_details | field lookup_pepper)'"}'
  identity /lookup -i -d "$LOOKUP"

She unbinds it, and is not found any more:        200 {"id_server_unbind_result":"success"}, then 200 {"mappings":{}}

  curl -i -H "Authorization: Bearer $MATRIX" ${account}/unbind -d '{"medium":"email","address":"ann@example.test"}'
  identity /lookup -i -d "$LOOKUP"
`;
}

runProgram(main);
