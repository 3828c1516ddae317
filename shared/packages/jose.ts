/** What is used of jose: loaded for the first JWT, from a file of its own. */
export { createLocalJWKSet } from 'jose/jwks/local';
export { compactVerify } from 'jose/jws/compact/verify';
export { SignJWT } from 'jose/jwt/sign';
