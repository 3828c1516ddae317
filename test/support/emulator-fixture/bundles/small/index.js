exports.handler = (event) => new Promise((resolve) => setTimeout(resolve, event.ms ?? 0, process.pid));
