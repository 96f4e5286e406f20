/** The real Kubernetes API of kube-server.ts for tests. */
import { afterAll, beforeAll, test } from 'bun:test'
import { findEnvtest } from '../scripts/envtest.ts'
import { startKube } from './kube-server.ts'
import type { Kube } from './kube-server.ts'
import { skipUnless } from './skip.ts'

export { startKube } from './kube-server.ts'
export type { Account, AuditEntry, Kube } from './kube-server.ts'

const isThere = findEnvtest() !== undefined

/** `test` for what needs a real Kubernetes API; skips with the way to get it. */
export const needsKube: typeof test = skipUnless(isThere, {
  why: 'etcd and kube-apiserver are not built',
  how: 'npm run envtest (with Go), or name a directory that holds both in KUBEBUILDER_ASSETS',
})

/** Starts one before the tests of this file or `describe`, and ends it after them; none where they are skipped. */
export function kubeForTests(): () => Kube {
  let kube: Kube | undefined
  beforeAll(async () => {
    if (isThere) kube = await startKube()
  }, 60_000)
  afterAll(() => kube?.stop())
  return () => {
    if (kube === undefined) throw new Error('only a test of needsKube has one')
    return kube
  }
}
