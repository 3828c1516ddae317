import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import { tokenRevocationStoreContract } from './token-revocation-store.ts';

tokenRevocationStoreContract('memory', () => ({
  open: async (options) => openMemoryStore(options),
  dispose: () => {},
}));
