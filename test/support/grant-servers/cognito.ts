import type { ApiRequest, GrantServerKind } from './grant-server.ts';

/** Amazon Cognito whose app client has no token revocation: one action ends what a user has at every app client. */
export const COGNITO: GrantServerKind = {
  preset: 'cognito',
  issuerPath: '/eu-north-1_pool',
  issuerRow: { audience: 'none', clients: ['skill', 'other'] },
  endingRow: () => rowOf('AKIAOBVIOUSLYFAKE'),
  wrongRow: () => rowOf('AKIAOBVIOUSLYWRONG'),
  claimsOf: ({ user, client }) => ({
    ...{ sub: `sub-of-${user}`, username: user, client_id: client, token_use: 'access', scope: 'home/devices' },
    aud: undefined,
  }),
  answer({ method, path, headers, body }, { end, grants }) {
    if (method !== 'POST' || path !== '/') return undefined;
    if (!isSigned(headers)) return error('UnrecognizedClientException');
    if (headers['x-amz-target'] !== 'AWSCognitoIdentityProviderService.AdminUserGlobalSignOut') {
      return error('UnknownOperationException');
    }
    // What our own request says: a test that has another shape here fails.
    const { UserPoolId: pool, Username: name } = JSON.parse(body) as { UserPoolId?: string; Username?: string };
    if (pool !== 'eu-north-1_pool') return error('ResourceNotFoundException');
    if (!grants.some(({ user }) => user === name)) return error('UserNotFoundException');
    end(({ user }) => user === name);
    return { status: 200, body: {} };
  },
  forbidden: error('AccessDeniedException'),
  tooMany: error('TooManyRequestsException'),
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_all_clients', showsLies: false },
  right: /cognito-idp:AdminUserGlobalSignOut/,
};

/** The same with the sign-in in `origin_jti`, which only our own revocations use. */
export const COGNITO_WITH_GRANT: GrantServerKind = {
  ...COGNITO,
  title: 'cognito, with the sign-in in origin_jti',
  issuerRow: { ...COGNITO.issuerRow, grant: { claim: 'origin_jti' } },
  claimsOf: (grant) => ({ ...COGNITO.claimsOf(grant), origin_jti: grant.id }),
  namesGrant: true,
};

function rowOf(access_key_id: string) {
  return { reaches: 'all_clients', authorization: { access_key_id, secret_access_key: 'obviously-fake' } };
}

/** That the signature is right is tested where it is made. */
function isSigned({ authorization = '', 'x-amz-date': date }: ApiRequest['headers']): boolean {
  const scope = /^AWS4-HMAC-SHA256 Credential=AKIAOBVIOUSLYFAKE\/(\d{8})\/eu-north-1\/cognito-idp\/aws4_request, /;
  return date !== undefined && scope.exec(authorization)?.[1] === `${date}`.slice(0, 8);
}

function error(type: string) {
  return { status: 400, body: { __type: type, message: 'obviously fake' } };
}
