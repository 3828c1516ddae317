/** For `vi.waitFor`: what comes by itself, on a machine that is busy too. */
export const SOON = { timeout: 10_000, interval: 5 };
