// One cold start: loads a bundle, calls it once, and tells the milliseconds since the process started. With a number of
// calls it goes on calling, by eight callers at once, and tells the memory on the way.
// CommonJS and not TypeScript, so that what it costs itself is as little as can be.
const { writeSync } = require('node:fs');

const [, , bundle, event, calls = '0'] = process.argv;
// As in an instance: no arguments that a function could see.
process.argv.splice(1);
const context = {
  requestId: '11111111-2222-3333-4444-555555555555',
  functionName: 'bench',
  memoryLimitInMB: '128',
  getRemainingTimeInMillis: () => 5000,
};
const parsed = JSON.parse(event);
const loadedFrom = performance.now();
const { handler } = require(bundle);
const loaded = performance.now();

const CALLERS = 8;
const megabytes = () => process.memoryUsage.rss() / 2 ** 20;

async function goOn(count) {
  const told = [];
  let next = 0;
  const callOn = async () => {
    while (next < count) {
      next += 1;
      const number = next;
      // Each call is of a token of its own.
      await handler(JSON.parse(event.replaceAll('123qwe456a', `number-${number}-`)), context);
      if (number % Math.ceil(count / 10) === 0) told.push(megabytes());
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, callOn));
  return told;
}

handler(parsed, context).then(async (answer) => {
  const total = performance.now();
  const times = { load: loaded - loadedFrom, call: total - loaded, total, megabytes: megabytes() };
  const underLoad = calls === '0' ? [] : await goOn(Number(calls));
  writeSync(3, JSON.stringify({ ...times, answer, underLoad }));
  // A connection that is kept would keep the process.
  process.exit();
});
