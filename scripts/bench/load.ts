/** Sends the calls that it is told over HTTP, in a process of its own, and answers how they went. */
import { Agent, request } from 'node:http';
import { CONNECTIONS, type LoadOrder } from './load-order.ts';
import { type Measured, measureCalls } from './measure-calls.ts';

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

async function load({ port, calls, seconds }: LoadOrder): Promise<Measured> {
  const send = (index: number) =>
    new Promise<void>((resolve, reject) => {
      const { method, path, headers, body } = calls[index % calls.length] ?? {
        method: 'GET',
        path: '/',
        headers: {},
        body: '',
      };
      const sent = request({ host: '127.0.0.1', port, agent, method, path, headers }, (response) => {
        response.resume().on('end', () => {
          const { statusCode = 0 } = response;
          if (statusCode < 300) resolve();
          else reject(new Error(`${method} ${path} was answered ${statusCode}`));
        });
      });
      sent.on('error', reject).end(body);
    });
  const order = { from: 0, count: calls.length, callers: CONNECTIONS };
  if (seconds === undefined) return measureCalls(send, order);
  // As many as the time takes, by what a thousand took.
  const { perSecond } = await measureCalls(send, { ...order, count: 1000 });
  return measureCalls(send, { ...order, count: Math.ceil(perSecond * seconds) });
}

process.once('disconnect', () => process.exit());
process.on('message', (order: LoadOrder) => {
  load(order).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
