import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { CallerError, StoreUnavailable } from '#shared/errors.ts';
import { type MatrixRequest, readBody, readIdServer, startDeadline } from '#shared/threepid/request.ts';
import { createMatrixPorts } from '#test/support/matrix-ports.ts';

describe('the deadline of a call', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['hrtime'] }));
  afterEach(() => void vi.useRealTimers());

  test('leaves other servers what remains of 8 seconds, less one for the directory', () => {
    const deadline = startDeadline(60_000);

    expect(deadline.serverMs()).toBe(7000);
    vi.advanceTimersByTime(2500);
    expect(deadline.serverMs()).toBe(4500);
  });

  test('is that of the function, where this is sooner', () => {
    const deadline = startDeadline(3000);

    vi.advanceTimersByTime(500);
    expect(deadline.serverMs()).toBe(1500);
  });

  /** What the directory is given of it. An attempt gets half of what there is, for there to be another. */
  const attemptMs = (deadline: ReturnType<typeof startDeadline>) => deadline.useDirectory(async (given) => given);

  test('gives the directory a second at a time, and later what is left', async () => {
    const deadline = startDeadline(60_000);

    expect(await attemptMs(deadline)).toBe(500);
    vi.advanceTimersByTime(7000);
    expect(await attemptMs(deadline)).toBe(500);
    vi.advanceTimersByTime(800);
    expect(await attemptMs(deadline)).toBe(200);
  });
});

test('the directory is asked again while it is unavailable', async () => {
  let calls = 0;
  const answer = await startDeadline(60_000).useDirectory(async () => {
    calls += 1;
    if (calls === 1) throw new StoreUnavailable('busy');
    return 'answer';
  });

  expect([calls, answer]).toEqual([2, 'answer']);
});

describe('the name of an identity server', () => {
  const read = (text: string, allowed: readonly string[] = []) => {
    const { call, told } = createMatrixPorts(async () => Promise.reject(new TypeError('nobody is asked')));
    const name = () => readIdServer(text, allowed, call({}));
    return { name, told };
  };

  test('is taken where it may be asked', () => {
    expect(read('https://ID.example.org/').name()).toBe('id.example.org');
    expect(read('10.0.0.1:8090', ['10.0.0.1:8090']).name()).toBe('10.0.0.1:8090');
  });

  test('is refused and noted where it may not', () => {
    const { name, told } = read('10.0.0.1:8090');

    expect(name).toThrow(
      expect.objectContaining({
        ...{ status: 400, errcode: 'M_INVALID_PARAM' },
        message: 'The key id_server must be the public host name of an identity server.',
      }),
    );
    expect(told).toEqual([['note', { outgoing_fault: 'forbidden' }]]);
  });
});

describe('a body', () => {
  const Fields = z.object({
    name: z.string('must be a string'),
    more: z.nullish(z.object({ size: z.number('must be a number') })),
  });
  const callWith = (text: () => string): MatrixRequest => {
    const { call } = createMatrixPorts(async () => Promise.reject(new TypeError('nobody is asked')));
    return { ...call({}), text };
  };
  const read = (text: string) => () =>
    readBody(
      Fields,
      callWith(() => text),
    );

  test('is read by its schema, without what may be missing', () => {
    expect(read('{"name":"x","other":1}')()).toEqual({ name: 'x' });
    expect(read('{"name":"x","more":{"size":1}}')()).toEqual({ name: 'x', more: { size: 1 } });
  });

  test.each([
    ['{', 'M_NOT_JSON', 'The body is not JSON.'],
    ['["name"]', 'M_BAD_JSON', 'The body is not a JSON object.'],
    ['null', 'M_BAD_JSON', 'The body is not a JSON object.'],
    ['{"name":"x","name":"y"}', 'M_BAD_JSON', 'The body names a key twice.'],
    ['{"constructor":"x"}', 'M_BAD_JSON', 'A key of the body is not allowed.'],
    [`{"name":${'['.repeat(99)}${']'.repeat(99)}}`, 'M_BAD_JSON', 'The body is nested deeper than 16 levels.'],
    ['{}', 'M_MISSING_PARAM', 'The key name is missing.'],
    ['{"more":{"size":1}}', 'M_MISSING_PARAM', 'The key name is missing.'],
    ['{"name":null}', 'M_INVALID_PARAM', 'The key name must be a string.'],
    ['{"name":"x","more":{"size":"1"}}', 'M_INVALID_PARAM', 'The key more.size must be a number.'],
  ])('%s is refused with %s', (text, errcode, message) => {
    expect(read(text)).toThrow(expect.objectContaining({ status: 400, errcode, message }));
  });

  test('that the transport cannot read is refused with M_NOT_JSON', () => {
    const text = () => {
      throw new CallerError('invalid_request', 'The body is not UTF-8.');
    };
    expect(() => readBody(Fields, callWith(text))).toThrow(
      expect.objectContaining({ status: 400, errcode: 'M_NOT_JSON', message: 'The body is not UTF-8.' }),
    );
  });

  test('whose reading fails for another reason fails with that', () => {
    const text = () => {
      throw new StoreUnavailable('busy');
    };
    expect(() => readBody(Fields, callWith(text))).toThrow(expect.objectContaining({ fault: 'busy' }));
  });
});
