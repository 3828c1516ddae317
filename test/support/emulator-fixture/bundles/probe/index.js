// Does what the event asks for, so that a test reads in one place what it sends and what it gets.
const results = {
  echo: (event) => event,
  string: () => 'ok',
  asyncUndefined: async () => undefined,
  syncUndefined: () => undefined,
  null: () => null,
  buffer: () => Buffer.from('ab'),
  // biome-ignore lint/suspicious/noThenProperty: a thenable that is no Promise is the point
  thenable: () => ({ then: (resolve) => resolve('never awaited') }),
  envelope: () => ({ statusCode: 404, headers: { A: 'b' }, body: 'text' }),
  bigint: () => ({ n: 1n }),
  cyclic: () => {
    const value = {};
    value.value = value;
    return value;
  },
  throwError: () => {
    throw new TypeError('a message');
  },
  rejectError: async () => {
    throw new RangeError('rejected');
  },
  throwText: () => {
    throw 'text';
  },
  rejectNull: () => Promise.reject(null),
  exit: () => process.exit(3),
  outOfMemory: () => {
    const kept = [];
    for (;;) kept.push(new Array(100_000).fill(kept.length));
  },
  hang: () => new Promise(() => {}),
  pid: () => process.pid,
  environment: () => process.env,
  contextKeys: (_, context) => Object.keys(context),
  context: async (_, context) => ({
    ...context,
    remaining: context.getRemainingTimeInMillis(),
    payload: context.getPayload().toString(),
  }),
  print: () => {
    console.log('to stdout');
    console.error('to stderr');
    process.stdout.write('not ended');
    return null;
  },
  // Work that is left behind by its call.
  leaveTimer: () => {
    globalThis.ticks = 0;
    setInterval(() => {
      globalThis.ticks += 1;
    }, 1).unref();
    return process.pid;
  },
  ticks: () => globalThis.ticks,
  leaveRejection: () => {
    setTimeout(() => Promise.reject(new Error('left behind')), 1);
    return process.pid;
  },
};

exports.handler = (event, context) => {
  const run = results[event?.do] ?? results.echo;
  return run(event, context);
};
