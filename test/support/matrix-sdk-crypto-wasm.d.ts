/** A file that matrix-js-sdk's types name and its package lacks. Nothing here uses it. */
declare module '*/@types/matrix-sdk-crypto-wasm.d.ts' {
  export type SecretsBundleJson = unknown;
}
