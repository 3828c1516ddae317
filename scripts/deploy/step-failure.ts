/** A step that failed. The message is for the operator and holds no secret. */
export class StepFailure extends Error {
  /** What the whole ends with. */
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
