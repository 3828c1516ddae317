/** A value that is made at the first use and kept. */
export interface Once<Value> {
  (): Promise<Value>;
  /** Lets the next use make it anew. */
  forget(): void;
  /** What is kept, if anything is. */
  kept(): Promise<Value> | undefined;
}

/** Makes a value at the first call and keeps it for the next ones. A failure is not kept: the next call tries again. */
export function once<Value>(make: () => Promise<Value>): Once<Value> {
  let made: Promise<Value> | undefined;
  const forget = () => {
    made = undefined;
  };
  const use = () => {
    made ??= make().catch((error: unknown) => {
      forget();
      throw error;
    });
    return made;
  };
  return Object.assign(use, { forget, kept: () => made });
}
