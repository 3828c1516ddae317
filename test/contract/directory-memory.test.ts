import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { openMemoryOutbox } from '#shared/outbox/drivers/memory.ts';
import { directoryContract } from './directory.ts';

directoryContract('memory', () => ({
  open: async (options) => openMemoryDirectory(options),
  openOutbox: async (options) => openMemoryOutbox(options),
  dispose: () => {},
}));
