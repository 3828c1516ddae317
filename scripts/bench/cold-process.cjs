// One cold start: loads a bundle, calls it once, and tells the milliseconds since the process started.
// CommonJS and not TypeScript, so that what it costs itself is as little as can be.
const { writeSync } = require('node:fs');

const [, , bundle, event] = process.argv;
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
handler(parsed, context).then((answer) => {
  const total = performance.now();
  const times = { load: loaded - loadedFrom, call: total - loaded, total };
  writeSync(3, JSON.stringify({ ...times, answer }));
});
