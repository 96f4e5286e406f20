/**
 * There is no controller-manager in the tests, so that nobody collects garbage. Its rule is simple enough to be played
 * here: an object goes when it has owners and none of them is there any more, with the uid that is written down.
 */
import { afterEach, beforeAll, describe, expect } from 'bun:test'
import { APPLICATIONS, SECRETS, apiVersionOf } from '../../../src/clients/kubernetes/api.ts'
import { findEnvtest } from '../../../scripts/envtest.ts'
import { landscape } from '../../clients/mini-director.ts'
import { kubeForTests, needsKube } from '../../kube.ts'
import { everythingIn, openScene } from './scene.ts'
import { applicationsIn, clear, NAMESPACE, secretsIn, writesIn } from './support.ts'

const { signal } = new AbortController()
const kube = kubeForTests()
if (findEnvtest() !== undefined) {
  beforeAll(() => kube().namespace(NAMESPACE), 60_000)
  afterEach(() => clear(kube()))
}

/** Removes what the garbage collector would; names of it. */
async function collect(): Promise<string[]> {
  const secrets = await secretsIn(kube())
  const alive = (await applicationsIn(kube())).map(({ metadata: { name, uid } }) =>
    [apiVersionOf(APPLICATIONS), APPLICATIONS.kind, name, uid].join(' '),
  )
  const garbage = secrets.filter(({ metadata: { ownerReferences = [] } }) => {
    const owners = ownerReferences.map((one) =>
      [one.apiVersion, one.kind, one.name, one.uid].join(' '),
    )
    return owners.length > 0 && !owners.some((one) => alive.includes(one))
  })
  for (const { metadata } of garbage) {
    const { name, uid = '' } = metadata
    await kube().client.remove(SECRETS, { name, namespace: NAMESPACE }, { uid }, signal)
  }
  return garbage.map(({ metadata }) => metadata.name)
}

describe('the garbage collector', () => {
  needsKube('finds an owner for each Secret, after every kind of pass', async () => {
    await using it = await openScene(kube(), landscape(4, 2, 1))
    await it.agent.pass()
    expect(await secretsIn(kube())).toHaveLength(8)
    expect(await collect()).toEqual([])

    // A person deletes a CR: its Secrets belong to the new one before the pass is over.
    await kube().client.remove(APPLICATIONS, { name: 'mp-app-0001' }, {}, signal)
    await it.agent.pass()
    expect(await collect()).toEqual([])

    // A rename in Compass keeps the CR and its uid.
    it.world.applications[2]!.name = 'mp-renamed'
    await it.agent.pass()
    expect(await collect()).toEqual([])
    expect(await secretsIn(kube())).toHaveLength(8)
  })

  needsKube(
    'that was faster than the agent after a CR was deleted costs one more pass',
    async () => {
      await using it = await openScene(kube(), landscape(2, 2, 1))
      await it.agent.pass()
      await kube().client.remove(APPLICATIONS, { name: 'mp-app-0001' }, {}, signal)
      expect(await collect()).toHaveLength(2)
      const { results } = await it.agent.pass()
      expect(results).toEqual([
        'create application/app-0001',
        'create binding/app-0001-bundle-0000',
        'create binding/app-0001-bundle-0001',
      ])
      expect(await collect()).toEqual([])
      expect(writesIn((await it.agent.pass()).calls)).toEqual([])
    },
  )

  needsKube('is not needed: with an Application its Secrets go, by the agent', async () => {
    await using it = await openScene(kube(), landscape(7, 2, 1))
    await it.agent.pass()
    it.world.applications.splice(0, 1)
    const { results } = await it.agent.pass()
    expect(results).toEqual([
      'delete application/app-0000',
      'delete binding/app-0000-bundle-0000',
      'delete binding/app-0000-bundle-0001',
    ])
    expect(await everythingIn(kube())).toHaveLength(6 * 3)
    expect(await collect()).toEqual([])
  })

  needsKube('that removes Secrets while the agent does is no failure', async () => {
    await using it = await openScene(kube(), landscape(30, 3, 1))
    await it.agent.pass()
    it.world.applications.splice(0, 5)
    let busy = true
    const collecting = (async () => {
      let count = 0
      while (busy) count += (await collect().catch(() => [])).length
      return count
    })()
    const { results, problems } = await it.agent.pass()
    busy = false
    await collecting
    expect(results.filter((result) => /failed|held/.test(result))).toEqual([])
    expect(results).toHaveLength(5 * 4)
    expect(problems).toEqual([])
    expect(await everythingIn(kube())).toHaveLength(25 * 4)
  })
})
