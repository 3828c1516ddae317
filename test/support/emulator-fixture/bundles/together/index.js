// Calls that share an instance.
const waiting = [];
exports.handler = async (event) => {
  if (event.do === 'pid') return process.pid;
  if (event.do === 'hang') return new Promise(() => {});
  while (event.do === 'spin');
  // biome-ignore lint/nursery/noFloatingPromises: the point of it
  if (event.do === 'floatingRejection') Promise.reject(new Error('nobody awaits this'));
  if (event.do === 'uncaught')
    setImmediate(() => {
      throw new Error('nobody catches this');
    });
  if (event.do === 'meet') {
    // Ends when `of` calls are in this instance at once.
    const all = new Promise((resolve) => waiting.push(resolve));
    if (waiting.length === event.of) for (const resolve of waiting.splice(0)) resolve();
    await all;
    return process.pid;
  }
  return new Promise((resolve) => setTimeout(resolve, 100));
};
