/** One side on one store, in a process of its own: measures calls in process, and serves them over HTTP. */
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { openLibrary, openLimit, openRawSide } from './limit.ts';
import { type Measured, measureCalls } from './measure-calls.ts';
import { openPeer } from './peers.ts';
import { openProduct } from './product.ts';
import type { HttpCall, Operation, Side, SideSettings } from './side.ts';

/** So many calls of an operation, from a number on. */
export interface Calls {
  readonly operation: Operation;
  readonly from: number;
  readonly count: number;
}

/** What the process is told, one after another. */
export type Order =
  | ({ readonly kind: 'open' } & SideSettings)
  /** Answers {@link Measured}. */
  | ({ readonly kind: 'measure'; readonly callers: number } & Calls)
  /** Answers the requests of calls that somebody else sends: {@link HttpCall}s. */
  | ({ readonly kind: 'requests' } & Calls);

/** What is answered to `open`. */
export interface Opened {
  readonly operations: readonly Operation[];
  readonly port: number;
}

let side: Side = { operations: {} };

async function obey(order: Order): Promise<Opened | Measured | HttpCall[]> {
  switch (order.kind) {
    case 'open':
      return open(order);
    case 'measure': {
      const operation = await prepare(order);
      return measureCalls((index) => operation.call(index), order);
    }
    case 'requests': {
      const operation = await prepare(order);
      return Array.from({ length: order.count }, (_, offset): HttpCall => {
        const index = order.from + offset;
        if (operation.http !== undefined) return operation.http(index);
        return {
          method: 'POST',
          path: `/${order.operation}`,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(operation.event?.(index)),
        };
      });
    }
  }
}

async function prepare({ operation: name, from, count }: Calls) {
  const operation = side.operations[name];
  if (operation === undefined) throw new Error(`there is no ${name}`);
  await operation.prepare?.(from, count);
  return operation;
}

async function open(settings: SideSettings): Promise<Opened> {
  side = await openSide(settings);
  const { answer } = side;
  const listener = side.listener ?? (answer && bareHost(answer));
  // Connections stay while others have their turns.
  const server = createServer({ keepAliveTimeout: 3_600_000 }, listener);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  // An HTTP server's address is never a path.
  return { operations: Object.keys(side.operations) as Operation[], port: (server.address() as AddressInfo).port };
}

function openSide(settings: SideSettings): Promise<Side> {
  switch (settings.side) {
    case 'product':
      return openProduct(settings);
    case 'limit':
    case 'limit + logger':
      return openLimit(settings);
    case 'raw':
      return openRawSide(settings);
    case 'library':
      return openLibrary();
    default:
      return openPeer(settings.side, settings);
  }
}

/** As little as can stand between HTTP and a handler: the body is the event, the path the operation. */
function bareHost(answer: NonNullable<Side['answer']>): RequestListener {
  return (request, response) => {
    text(request)
      .then(async (body) => JSON.stringify(await answer(request.url?.slice(1) ?? '', JSON.parse(body))))
      .then(
        (body) => response.setHeader('content-type', 'application/json').end(body),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
  };
}

process.once('disconnect', () => process.exit());
process.on('message', (order: Order) => {
  obey(order).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
  );
});
