import { type JsonAnswer, matrixError } from './json-call.ts';

/** An answer of the identity server that ends a call. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** Undefined: the call is never answered. */
  readonly answer: JsonAnswer | undefined;

  constructor(answer: JsonAnswer | undefined) {
    super();
    this.answer = answer;
  }
}

/** A refusal that is a Matrix error. */
export function refuse(status: number, errcode: string, error: string): Refusal {
  return new Refusal(matrixError(status, errcode, error));
}
