/** The development authorization server in a process of its own, in which `Date.now` is the test's to move. */
import { startAuthorizationServer } from '#scripts/authorization-server/server.ts';

/** What the test tells it. */
export interface Orders {
  readonly introspectionUrl?: string | undefined;
  /** How far its clock is ahead of the others, in seconds. */
  readonly aheadS: number;
}

let orders: Orders = { aheadS: 0 };
const now = Date.now;
Date.now = () => now() + orders.aheadS * 1000;

const { url } = await startAuthorizationServer({
  port: 0,
  database: ':memory:',
  introspectionUrl: () => orders.introspectionUrl,
});
process.on('message', (message) => {
  // Nobody else sends any.
  orders = message as Orders;
  process.send?.('done');
});
process.on('disconnect', () => process.exit());
process.send?.(url);
