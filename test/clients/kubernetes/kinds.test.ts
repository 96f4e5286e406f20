import { readFileSync } from 'node:fs'
import { expect } from 'bun:test'
import { load } from 'js-yaml'
import { needsShared, shared } from '../../shared.ts'

/** The schema without what people read. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(
    ([key, member]) => !(key === 'description' && typeof member === 'string'),
  )
  return Object.fromEntries(members.map(([key, member]) => [key, bare(member)]))
}

needsShared.each(['application', 'compassconnection'])(
  'the definition of %s in the tests is that of Kyma, but for its descriptions',
  (name) => {
    const text = readFileSync(new URL(`upstream/${name}-crd.yaml`, shared), 'utf8')
    // Some of its descriptions go on in the first column of a block, which YAML does not allow.
    const official = load(text.replaceAll(/^ +description: '[^']*'$/gm, '')) as { spec: unknown }
    const ours = readFileSync(new URL(`../../kube/${name}.yaml`, import.meta.url), 'utf8')
    expect((load(ours) as { spec: unknown }).spec).toEqual(bare(official.spec))
  },
)
