/** What nothing can be faster than: the process, a module, a call. */
export const handler = async (): Promise<unknown> => ({});
