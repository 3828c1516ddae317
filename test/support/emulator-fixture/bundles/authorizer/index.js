// Lets in whoever asks nicely; the context shows what the authorizer was told and how often it was asked.
let asked = 0;
exports.handler = async (event) => {
  asked += 1;
  const credential =
    event.headers.Authorization ??
    event.headers['X-Api-Key'] ??
    event.cookies.session ??
    event.queryStringParameters.key;
  if (credential.endsWith('throw')) throw new Error('the store is down');
  if (credential.endsWith('odd')) return { isAuthorized: 'yes' };
  if (credential.endsWith('text')) return 'yes';
  if (credential.endsWith('no')) return { isAuthorized: false };
  if (credential.endsWith('bare')) return { isAuthorized: true };
  return { isAuthorized: true, context: { asked, event } };
};
