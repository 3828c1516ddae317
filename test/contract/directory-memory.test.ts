import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { directoryContract } from './directory.ts';

directoryContract('memory', () => ({
  open: async (options) => openMemoryDirectory(options),
  dispose: () => {},
}));
