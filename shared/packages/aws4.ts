/** Loaded where calls of the DynamoDB API are signed, from a file of its own. */
export { default as aws4 } from 'aws4';
