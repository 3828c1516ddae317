import { randomUUID } from 'node:crypto';

/** The place of one call in a trace: https://www.w3.org/TR/trace-context-2/ */
export interface Trace {
  readonly traceId: string;
  /** Of this call alone. */
  readonly spanId: string;
  /** The header that tells our own services whose call theirs is a part of. */
  readonly traceparent: string;
}

/** Version, trace id, the caller's span id, flags, and what a version to come may have behind a hyphen. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const CURRENT_VERSION = '00';
const SAMPLED = 0x01;
/** The trace id is random: a sampler may go by it. */
const RANDOM = 0x02;

/**
 * Goes on with the trace of a `traceparent` header, or begins one where it is missing or not valid. Whoever calls
 * writes the header: it names a trace and decides nothing.
 */
export function startTrace(given: string | undefined, random: () => string = randomUUID): Trace {
  const parent = given === undefined ? undefined : parseTraceparent(given);
  const { traceId, flags } = parent ?? { traceId: random().replaceAll('-', ''), flags: RANDOM };
  const spanId = endOf(random());
  const traceparent = `${CURRENT_VERSION}-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`;
  return { traceId, spanId, traceparent };
}

/** The last 16 digits of a UUID, of which all but two bits are random. Its last 7 bytes all are, as {@link RANDOM} says of a trace id. */
function endOf(uuid: string): string {
  return uuid.slice(19, 23) + uuid.slice(24);
}

function parseTraceparent(text: string): { traceId: string; flags: number } | undefined {
  const [, version, traceId = '', parentId = '', flags = '', more] = TRACEPARENT.exec(text) ?? [];
  if (version === undefined || version === 'ff' || (version === CURRENT_VERSION && more !== undefined))
    return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  // What other flags mean is not known.
  return { traceId, flags: Number.parseInt(flags, 16) & (SAMPLED | RANDOM) };
}
