/** The emulator cannot start. The message is one sentence for the person who started it, and names what is wrong. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
