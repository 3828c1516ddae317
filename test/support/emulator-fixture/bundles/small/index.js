exports.handler = (event) => {
  if (event.ms !== undefined) console.log('waits');
  return new Promise((resolve) => setTimeout(resolve, event.ms ?? 0, process.pid));
};
