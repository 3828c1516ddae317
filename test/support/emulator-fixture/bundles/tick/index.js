// Keeps the last message of its timer; fails when told to.
let last;
let failures = 0;
exports.handler = async (event) => {
  if (event.fail !== undefined) {
    failures = event.fail;
    return null;
  }
  if (event.messages === undefined) return last;
  last = event;
  if (failures > 0) {
    failures -= 1;
    throw new Error('not now');
  }
  return { done: true };
};
