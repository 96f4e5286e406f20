/** The real daprd of daprd-server.ts for tests. */
import type { test } from 'bun:test'
import { findDaprd } from '../scripts/envtest.ts'
import { skipUnless } from './skip.ts'

export { configuration, startDaprd, startEcho } from './daprd-server.ts'
export type { Daprd, DaprdOptions, Echo } from './daprd-server.ts'

/** `test` for what needs a real daprd; skips with the way to get it. */
export const needsDaprd: typeof test = skipUnless(findDaprd() !== undefined, {
  why: 'daprd is not built',
  how: 'npm run envtest (with Go), or name a directory that holds it in KUBEBUILDER_ASSETS',
})
