/**
 * State as released versions wrote it, kept in frozen/ for ever: this version reads it, and what this version writes of it
 * is what that version reads, so that an upgrade can be taken back. The key and the credentials in it are those of a
 * development plane that is no more.
 *
 * A new format of a file means a new directory here; the old one stays.
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeState, encodeState } from '../../src/agent/state.ts'
import { openDigestKey } from '../../src/identity/digest-key.ts'
import { openDiskStore } from '../../src/identity/disk.ts'
import { decodePending, encodePending } from '../../src/identity/journal.ts'
import { decodeConfiguration, encodeConfiguration } from '../../src/model/configuration-codec.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/model/snapshot-codec.ts'
import { decodeManifest, encodeManifest } from '../../src/targets/files-manifest.ts'
import { openHome } from '../e2e/support/agent-home.ts'
import { SLOW, ensureExecutable, onExecutable } from '../e2e/support/program.ts'

const FROZEN = join(import.meta.dir, 'frozen')
const work = mkdtempSync(join(tmpdir(), 'frozen-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

const STAGES = ['intent', 'signing', 'signed']

/** A state directory as that version left it; git keeps neither modes nor the target of `current`. */
function stateOf(version: string, place: string): string {
  const directory = join(work, `${version}-${place}`)
  layOut(version, directory)
  return directory
}

function layOut(version: string, directory: string): void {
  cpSync(join(FROZEN, version), directory, { recursive: true })
  const [newest] = readdirSync(join(directory, 'identity')).sort().reverse()
  symlinkSync(newest!, join(directory, 'identity', 'current'))
}

/** What a later version may add: a member that this one does not know. */
function withMore(text: string): string {
  return JSON.stringify({ ...(JSON.parse(text) as object), addedLater: { x: [1] } })
}

describe.each(readdirSync(FROZEN))('state of format %s', (version) => {
  const read = (name: string): string => readFileSync(join(FROZEN, version, name), 'utf8')

  test('pause, guards and approvals are read, and written as they were', () => {
    const state = decodeState(read('state.json'))
    expect(state).toMatchObject({
      paused: true,
      guards: { files: { waiting: [{ group: 'applications', fetches: 2 }] } },
      approvals: [{ hash: 'ba9876543210' }],
    })
    expect(JSON.parse(encodeState(state))).toEqual(JSON.parse(read('state.json')))
    expect(decodeState(withMore(read('state.json')))).toEqual(state)
  })

  test('the snapshot is read, and written as it was, to the byte', () => {
    const { snapshot, problem } = decodeSnapshot(read('snapshot.json'))
    expect(problem).toBeUndefined()
    expect(snapshot!.applications.length).toBe(2)
    expect(encodeSnapshot(snapshot!)).toBe(read('snapshot.json'))
    expect(decodeSnapshot(withMore(read('snapshot.json'))).snapshot).toEqual(snapshot)
  })

  test('the configuration is read, and written as it was, to the byte', () => {
    const { configuration, problem } = decodeConfiguration(read('configuration.json'))
    expect(problem).toBeUndefined()
    expect(configuration!.documents.map(({ name }) => name)).toEqual(['logging', 'statestore'])
    expect(configuration!.refused.map(({ keeps }) => keeps)).toEqual([
      'everything',
      { document: 'dapr.io/Component//twice' },
      undefined,
    ])
    expect(encodeConfiguration(configuration!)).toBe(read('configuration.json'))
    expect(decodeConfiguration(withMore(read('configuration.json'))).configuration).toEqual(
      configuration,
    )
  })

  test('the manifest of published files is read, and written as it was, to the byte', () => {
    const manifest = decodeManifest(read('MANIFEST.json'))
    expect(manifest.objects.length).toBe(6)
    expect(encodeManifest(manifest)).toBe(read('MANIFEST.json'))
    expect(decodeManifest(withMore(read('MANIFEST.json')))).toEqual(manifest)
  })

  for (const stage of STAGES)
    test(`a journal at the stage ${stage} is read, and written with the same members`, () => {
      const text = read(`enrolment-${stage}.json`)
      const members = (written: string): unknown => JSON.parse(written)
      expect(members(encodePending(decodePending(text)))).toEqual(members(text))
      expect(members(encodePending(decodePending(withMore(text))))).toEqual(members(text))
    })

  test('the identity is read whole, and written so that that version reads it', async () => {
    const directory = stateOf(version, 'identity')
    const store = openDiskStore({ directory })
    const loaded = await store.load()
    expect(loaded?.fallback).toBeUndefined()
    const meta = JSON.parse(read('identity/gen-000001/meta.json')) as Record<string, unknown>
    expect(loaded!.identity.fingerprint).toBe(String(meta['fingerprint']))
    await store.promote(loaded!.identity)
    const next = (name: string): string =>
      readFileSync(join(directory, 'identity/gen-000002', name), 'utf8')
    for (const name of ['key.pem', 'chain.pem'])
      expect(next(name)).toBe(read(`identity/gen-000001/${name}`))
    const again = JSON.parse(next('meta.json')) as Record<string, unknown>
    expect(again['written']).not.toBe(meta['written'])
    again['written'] = meta['written']
    expect(again).toEqual(meta)
  })

  test('the key of digests is read, so that nothing published is written again', async () => {
    const { key } = await openDigestKey(stateOf(version, 'digest'))
    expect(key.reveal()).toBe(read('digest.key').trim())
  })

  onExecutable(
    'an agent starts from it without a network, as paused and as enrolled as it was',
    async () => {
      await ensureExecutable()
      const home = openHome({})
      layOut(version, home.path('state'))
      const agent = home.start()
      const status = await agent.until('it has the identity', (one) => one.identity !== undefined)
      expect(status.identity?.condition).toBe('valid')
      expect(status.paused).toBe(true)
      await agent.stop()
      home.remove()
    },
    SLOW,
  )
})
