/** Loaded for the first operation that is tried again, from a file of its own. */
export { default as pRetry } from 'p-retry';
