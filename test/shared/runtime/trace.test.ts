import { expect, test } from 'vitest';
import { startTrace } from '#shared/runtime/trace.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT_ID = 'b7ad6b7169203331';

/** A UUID that is always the same. */
const random = () => '01234567-89ab-4def-8123-456789abcdef';
const NEW_SPAN_ID = '8123456789abcdef';
const NEW_TRACE_ID = '0123456789ab4def8123456789abcdef';

test('a trace goes on with a span of its own', () => {
  expect(startTrace(`00-${TRACE_ID}-${PARENT_ID}-01`, random)).toEqual({
    traceId: TRACE_ID,
    spanId: NEW_SPAN_ID,
    traceparent: `00-${TRACE_ID}-${NEW_SPAN_ID}-01`,
  });
});

test('without a header a trace begins: not known to be recorded, and random', () => {
  expect(startTrace(undefined, random)).toEqual({
    traceId: NEW_TRACE_ID,
    spanId: NEW_SPAN_ID,
    traceparent: `00-${NEW_TRACE_ID}-${NEW_SPAN_ID}-02`,
  });
});

test.each([
  ['00', '00'],
  ['01', '01'],
  ['02', '02'],
  ['03', '03'],
  ['ff', '03'],
])('of the flags %s those that are known go on: %s', (given, kept) => {
  expect(startTrace(`00-${TRACE_ID}-${PARENT_ID}-${given}`, random).traceparent).toMatch(new RegExp(`-${kept}$`));
});

test.each([
  ['a version to come', `cc-${TRACE_ID}-${PARENT_ID}-01`],
  ['a version to come that says more', `cc-${TRACE_ID}-${PARENT_ID}-01-what-the-future-will-be-like`],
])('%s is read as far as it is known, and goes on in ours', (_, given) => {
  expect(startTrace(given, random).traceparent).toBe(`00-${TRACE_ID}-${NEW_SPAN_ID}-01`);
});

test.each([
  ['the forbidden version', `ff-${TRACE_ID}-${PARENT_ID}-01`],
  ['our version with more behind it', `00-${TRACE_ID}-${PARENT_ID}-01-more`],
  ['our version with a hyphen behind it', `00-${TRACE_ID}-${PARENT_ID}-01-`],
  ['a version to come with no hyphen before more', `cc-${TRACE_ID}-${PARENT_ID}-01.more`],
  ['a trace id of zeros', `00-${'0'.repeat(32)}-${PARENT_ID}-01`],
  ['a span id of zeros', `00-${TRACE_ID}-${'0'.repeat(16)}-01`],
  ['upper case', `00-${TRACE_ID.toUpperCase()}-${PARENT_ID}-01`],
  ['a short trace id', `00-${TRACE_ID.slice(1)}-${PARENT_ID}-01`],
  ['a long span id', `00-${TRACE_ID}-${PARENT_ID}0-01`],
  ['a letter that is no digit', `00-${TRACE_ID.replace('a', 'g')}-${PARENT_ID}-01`],
  ['no flags', `00-${TRACE_ID}-${PARENT_ID}`],
  ['space around', ` 00-${TRACE_ID}-${PARENT_ID}-01 `],
  ['a line behind', `00-${TRACE_ID}-${PARENT_ID}-01\n`],
  ['two', `00-${TRACE_ID}-${PARENT_ID}-01, 00-${TRACE_ID}-${PARENT_ID}-01`],
  ['nothing', ''],
])('with %s a trace begins', (_, given) => {
  expect(startTrace(given, random).traceId).toBe(NEW_TRACE_ID);
});

test('no two calls have the same span, and no two traces the same id', () => {
  const traces = Array.from({ length: 1000 }, () => startTrace(undefined));

  expect(new Set(traces.map(({ traceId }) => traceId)).size).toBe(1000);
  expect(new Set(traces.map(({ spanId }) => spanId)).size).toBe(1000);
});
