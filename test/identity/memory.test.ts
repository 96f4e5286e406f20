import { openMemoryStore } from '../../src/identity/memory.ts'
import { storeContract } from './store.contract.ts'

storeContract('memory', () => {
  const store = openMemoryStore()
  return Promise.resolve({ store, reopen: () => store })
})
