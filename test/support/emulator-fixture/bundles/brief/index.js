// Ends when the server of a test answers, or is timed out.
exports.handler = async (event) => (await fetch(event.url)).text();
