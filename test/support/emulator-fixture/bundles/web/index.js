// Answers an HTTP event with itself, or with what the `reply` parameter or header holds.
exports.handler = async (event) => {
  const reply = event.queryStringParameters?.reply ?? event.headers?.['X-Reply'];
  if (reply === 'throw') throw new Error('no answer');
  if (reply !== undefined) return JSON.parse(reply);
  return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(event) };
};
