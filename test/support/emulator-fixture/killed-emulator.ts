/** A program to kill: it reports the process ids of a frozen instance and of one in the middle of a call. */
import { startFixture } from './start-fixture.ts';

const emulator = await startFixture();
const frozen = await emulator.call('small', {});
const busy = await emulator.call('probe', { do: 'pid' });
emulator.call('probe', { do: 'hang' }).catch(() => {});
process.send?.([Number(frozen.text), Number(busy.text)]);
