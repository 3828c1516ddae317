/**
 * A process that answers the DynamoDB API at once: transactions are done, of what is read only the schema markers are there.
 * On bare sockets, so that it takes less than any client. It tells its port, and ends when its parent does.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

const [table = ''] = process.argv.slice(2);
/** By the marker that is asked for. Newer than any schema: none is too old. */
const READ = new Map(
  ['schema#token-revocation', 'schema#directory'].map((id) => [
    id,
    answerOf({ Responses: { [table]: [{ id: { S: id }, v: { N: '1000' } }] }, UnprocessedKeys: {} }),
  ]),
);
const WRITTEN = answerOf({});

function answerOf(body: object): string {
  const text = JSON.stringify(body);
  const headers = `content-type: application/x-amz-json-1.0\r\ncontent-length: ${text.length}`;
  return `HTTP/1.1 200 OK\r\n${headers}\r\n\r\n${text}`;
}

/** Takes the whole requests off what was received; returns their answers and what is left. */
function answersTo(received: string): { answers: string; rest: string } {
  let answers = '';
  let rest = received;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return { answers, rest };
    const head = rest.slice(0, end);
    const length = end + 4 + Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (rest.length < length) return { answers, rest };
    const asked = /BatchGetItem/.test(head) ? /schema#[a-z-]+/.exec(rest.slice(end, length))?.[0] : undefined;
    answers += READ.get(asked ?? '') ?? WRITTEN;
    rest = rest.slice(length);
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  let received = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    const { answers, rest } = answersTo(received + text);
    received = rest;
    if (answers !== '') socket.write(answers);
  });
  socket.on('error', () => {}); // The client has gone.
});
process.once('disconnect', () => process.exit());
await once(server.listen(0, '127.0.0.1'), 'listening');
// A TCP server's address is never a path.
process.send?.((server.address() as AddressInfo).port);
