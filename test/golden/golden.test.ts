/** Every case of $GOLDEN_DIR through a real pass: `npm run test:golden`. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { APPLICATIONS, SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject } from '../../src/clients/kubernetes/api.ts'
import { json, serve } from '../clients/server.ts'
import { needsKube, startKube } from '../kube.ts'
import type { Kube } from '../kube.ts'
import { findEnvtest } from '../../scripts/envtest.ts'
import { shared } from '../shared.ts'
import { skipUnless } from '../skip.ts'
import {
  Agent,
  applicationsIn,
  clear,
  NAMESPACE,
  other,
  secretsIn,
  writesIn,
} from '../targets/kyma/support.ts'
import { DIFFERENCES } from './differences.ts'
import type { Expected } from './differences.ts'

const named = process.env['GOLDEN_DIR']
const golden =
  named === undefined
    ? shared && new URL('golden/', shared)
    : pathToFileURL(named.endsWith('/') ? named : `${named}/`)
const cases =
  golden === undefined
    ? []
    : readdirSync(golden)
        .filter((name) => existsSync(new URL(`${name}/director.json`, golden)))
        .sort()

/** Whether these are the cases that the table of differences is about. */
const own = cases.length > 0 && (named === undefined || named.endsWith('/shared/golden'))

const needsGolden = skipUnless(cases.length > 0, {
  why: 'there are no golden cases',
  how: 'put the folder `shared` beside the repository, or name one in GOLDEN_DIR',
})
const run = cases.length === 0 ? needsGolden : needsKube

let kube: Kube

if (findEnvtest() !== undefined && cases.length > 0) {
  beforeAll(async () => {
    kube = await startKube()
    await kube.namespace(NAMESPACE)
  })
  afterEach(() => clear(kube))
  afterAll(() => kube.stop())
}

describe.each(cases.length === 0 ? ['all'] : cases)('golden %s', (name) => {
  const read = (file: string): unknown =>
    JSON.parse(readFileSync(new URL(`${name}/${file}.json`, golden), 'utf8'))
  const difference = DIFFERENCES[name]

  run('gives the objects of the Go agent, and the next pass writes nothing', async () => {
    await using server = await serve(() => json(read('director')))
    const agent = new Agent(kube, server)
    const { problems, results, calls } = await agent.pass()
    const expected = read('expected') as Expected
    const wanted = normal(difference?.instead?.(expected) ?? expected)
    expect(normal(await cluster())).toEqual(wanted)
    // Of cases that are not ours nobody has written down what should be said.
    if (difference !== undefined || own) expect(problems).toEqual(difference?.problems ?? [])
    expect(results).toHaveLength(wanted.applications.length + wanted.secrets.length)
    expect(calls).toHaveLength(2 + results.length)

    const again = await agent.pass()
    expect(writesIn(again.calls)).toEqual([])
    agent.restart(true)
    expect(writesIn((await agent.pass()).calls)).toEqual([])
  })

  run('is taken over from the Go agent without a write', async () => {
    const go = await other(kube, 'compass-runtime-agent')
    const expected = read('expected') as Expected
    const uids = new Map<string, string>()
    for (const object of expected.applications) {
      const made = await go.create(APPLICATIONS, object)
      uids.set(made.metadata.name, made.metadata.uid!)
    }
    for (const object of expected.secrets) {
      const { metadata } = object
      const ownerReferences = metadata.ownerReferences?.map((owner) => ({
        ...owner,
        uid: uids.get(owner.name)!,
      }))
      await go.create(SECRETS, {
        ...object,
        metadata: { ...metadata, ownerReferences: ownerReferences! },
      })
    }
    await using server = await serve(() => json(read('director')))
    const { calls } = await new Agent(kube, server).pass()
    if (difference?.instead === undefined) expect(writesIn(calls)).toEqual([])
    else expect(normal(await cluster())).toEqual(normal(difference.instead(expected)))
  })
})

test('every difference names a case that is there, unless the cases are other ones', () => {
  expect(own ? Object.keys(DIFFERENCES).filter((one) => !cases.includes(one)) : []).toEqual([])
})

async function cluster(): Promise<Expected> {
  return { applications: await applicationsIn(kube), secrets: await secretsIn(kube) }
}

const VOLATILE = new Set([
  ...['uid', 'resourceVersion', 'generation', 'creationTimestamp', 'managedFields'],
])

/** Sorted by name, without what each cluster has its own of; the uid of an owner is the name of what has it. */
function normal({ applications, secrets }: Expected): Expected {
  const names = new Map(
    applications.map(({ metadata }) => [metadata.uid, `<uid of Application ${metadata.name}>`]),
  )
  const plain = (object: KubeObject): KubeObject => {
    const entries = Object.entries(object.metadata).filter(([key]) => !VOLATILE.has(key))
    const metadata = { ...Object.fromEntries(entries), name: object.metadata.name }
    const owners = object.metadata.ownerReferences
    if (owners === undefined) return { ...object, metadata }
    const ownerReferences = owners.map((owner) => ({
      ...owner,
      uid: names.get(owner.uid) ?? owner.uid,
    }))
    return { ...object, metadata: { ...metadata, ownerReferences } }
  }
  const byName = (a: KubeObject, b: KubeObject): number =>
    a.metadata.name < b.metadata.name ? -1 : 1
  return {
    applications: applications.map(plain).map(inOrder).sort(byName),
    secrets: secrets.map(plain).sort(byName),
  }
}

type Spec = {
  services: { id: string; entries: { type: string; id: string }[] }[]
  compassMetadata: { authentication: { clientIds: string[] } }
}

function inOrder(application: KubeObject): KubeObject {
  const spec = application['spec'] as Spec
  const place = ({ type, id }: { type: string; id: string }): string => `${type} ${id}`
  return {
    ...application,
    spec: {
      ...spec,
      compassMetadata: {
        ...spec.compassMetadata,
        authentication: { clientIds: spec.compassMetadata.authentication.clientIds.toSorted() },
      },
      services: spec.services
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .map((service) => ({
          ...service,
          entries: service.entries.toSorted((a, b) => (place(a) < place(b) ? -1 : 1)),
        })),
    },
  }
}
