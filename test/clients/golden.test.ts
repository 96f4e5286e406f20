import { expect } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { openDirector } from '../../src/clients/director.ts'
import { canonicalJson } from '../../src/model/digest.ts'
import { needsShared, shared } from '../shared.ts'
import { aCall, json, serve, sessionTo } from './server.ts'

type Wire = {
  data: {
    runtime: { labels: unknown }
    applicationsForRuntime: { data: WireApplication[]; totalCount: number }
  }
}
type WireApplication = {
  id: string
  auths: { id: string }[] | null
  bundles: { data: WireBundle[] }
}
type WireBundle = {
  id: string
  defaultInstanceAuth: object | null
  apiDefinitions: { data: unknown[] }
}

const cases =
  shared === undefined
    ? ['all']
    : readdirSync(new URL('golden/', shared)).filter((name) => !name.endsWith('.md'))

needsShared.each(cases)('golden %s decodes, every value of it kept', async (name) => {
  const text = readFileSync(new URL(`golden/${name}/director.json`, shared), 'utf8')
  const wire = JSON.parse(text) as Wire
  await using server = await serve(() => json(wire))
  const fetched = await openDirector(sessionTo(server)).applications('runtime-1', aCall())
  const { data } = wire.data.applicationsForRuntime
  expect(fetched.labels).toEqual(wire.data.runtime.labels as typeof fetched.labels)
  expect(fetched.applications.map(({ id }) => id)).toEqual(data.map(({ id }) => id).sort())
  for (const application of data) {
    const decoded = fetched.applications.find(({ id }) => id === application.id)!
    expect(decoded.authIds).toEqual((application.auths ?? []).map(({ id }) => id).sort())
    expect(decoded.bundles.map(({ id }) => id)).toEqual(
      application.bundles.data.map(({ id }) => id).sort(),
    )
  }
  // Each string of the wire is somewhere in what was decoded: names, texts, credentials.
  const kept = new Set(stringsOf(JSON.parse(canonicalJson(fetched))))
  const lost = stringsOf(wire).filter(
    (value) => value !== '' && !kept.has(value) && !WIRE_ONLY.has(value),
  )
  expect(lost).toEqual([])
})

/** Types of credentials have names of our own; the id of the runtime is not read. */
const WIRE_ONLY = new Set([
  'BasicCredentialData',
  'OAuthCredentialData',
  'CertificateOAuthCredentialData',
  '11111111-2222-4333-8444-555555555555',
])

function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(stringsOf)
}
