import { afterAll, beforeAll } from 'bun:test'
import { APPLICATIONS, SECRETS } from '../../../src/clients/kubernetes/api.ts'
import { needsKube, startKube } from '../../kube.ts'
import type { Kube } from '../../kube.ts'
import { findEnvtest } from '../../../scripts/envtest.ts'
import { targetContract } from '../target.contract.ts'
import { applicationsIn, clear, NAMESPACE, openTarget, other, secretsIn } from './support.ts'
import type { Other } from './support.ts'

let kube: Kube
let person: Other

if (findEnvtest() !== undefined) {
  beforeAll(async () => {
    kube = await startKube()
    await kube.namespace(NAMESPACE)
    person = await other(kube, 'person')
  })
  afterAll(() => kube.stop())
}

targetContract(
  'kyma',
  () => ({
    open: () => openTarget(kube.client),
    writes: async () => {
      const objects = [...(await applicationsIn(kube)), ...(await secretsIn(kube))]
      return objects.map(({ metadata: { uid, resourceVersion } }) => uid! + resourceVersion!).join()
    },
    damage: async (key, name) => {
      if (key.startsWith('application/'))
        await person.change(APPLICATIONS, name, { spec: { services: [] } })
      else await person.change(SECRETS, name, { data: { password: btoa('tampered') } })
    },
    close: () => clear(kube),
  }),
  { run: needsKube },
)
