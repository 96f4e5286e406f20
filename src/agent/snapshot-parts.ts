import type { KubeObject, Kubernetes } from '../clients/kubernetes/api.ts'
import { SECRETS } from '../clients/kubernetes/api.ts'
import { changeSecret, dataOf, isLostRace, readSecret } from '../clients/kubernetes/secrets.ts'
import { joinBytes } from '../model/bytes.ts'
import { arrayOf, asNumber, asObject, asString } from '../model/decode.ts'
import { sha256 } from '../model/digest.ts'
import { AgentError, toAgentError } from '../model/problem.ts'
import { fromBase64, toBase64 } from '../runtime/base64.ts'

/*
 * Bytes over several Secrets, so that they change as a whole. Each part is created in a slot where nothing is; then the
 * head is written, which names slots and digests; then the slots of before go. So an agent that is killed anywhere
 * leaves the old bytes or the new ones, and two that save at the same time do not touch each other's parts. Only when
 * no empty slot is left, which is from nine parts on, parts go over what a kill left behind, and last over old ones:
 * killed there, what is left does not fit its digests, and is named as damaged.
 */

/** A Secret holds 1 MiB, a request to the API server 3 MB with base64 around it. */
const PART_BYTES = 700_000
/** @testing So many names stand in the RBAC. */
export const MOST_PARTS = 16

const SNAPSHOT = 'snapshot'
const PART = 'part'
const HEAD = 'head.json'
const VERSION = 1

export type SnapshotParts = {
  /**
   * The bytes that were saved last; undefined: there are none.
   *
   * @throws AgentError snapshot_damaged; of the API
   */
  load(): Promise<Uint8Array | undefined>
  /** @throws AgentError snapshot_too_large; kubernetes_conflict; of the API */
  save(bytes: Uint8Array): Promise<void>
}

export type SnapshotPartsOptions = {
  kubernetes: Kubernetes
  namespace: string
  prefix: string
  /** What the names go on with: `snapshot` when missing. */
  noun?: string
  /** How many names stand in the RBAC: {@link MOST_PARTS} when missing. */
  mostParts?: number
  foreign?: (why: string) => void
  /** Size of a part; smaller ones are for tests. */
  partBytes?: number
}

type Head = { parts: { slot: number; sha256: string }[] }

type Kept = SnapshotPartsOptions & {
  /** The text of the head as we last read or wrote it; `text` undefined: there was none. */
  head: { text: string | undefined } | undefined
  /** What is known of the slots: the version, or null where there is nothing. */
  slots: Map<number, string | null>
  /** Slots of our own old parts, which we may not remove: they are written over first. */
  stale: Set<number>
}

const { signal } = new AbortController()

export function openSnapshotParts(options: SnapshotPartsOptions): SnapshotParts {
  const kept: Kept = { ...options, head: undefined, slots: new Map(), stale: new Set() }
  return { load: () => load(kept, 1), save: (bytes) => save(kept, bytes) }
}

/** A reader beside the writer may find a slot gone that the head named a moment ago: then it begins again. */
const ROUNDS = 3

async function load(kept: Kept, round: number): Promise<Uint8Array | undefined> {
  const text = await readHead(kept)
  if (text === undefined) return undefined
  const head = decodeHead(text)
  if (head === undefined) throw damaged('its head cannot be read')
  try {
    return joinBytes(await Promise.all(head.parts.map((part) => loadPart(kept, part))))
  } catch (thrown) {
    const late = round < ROUNDS && (await readHead(kept)) !== text
    if (!late) throw thrown
  }
  return load(kept, round + 1)
}

async function readHead(kept: Kept): Promise<string | undefined> {
  const texts = await readSecret(kept.kubernetes, headOf(kept), signal)
  const text = texts?.get(HEAD)
  kept.head = { text }
  return text
}

async function loadPart(
  kept: Kept,
  { slot, sha256: digest }: Head['parts'][number],
): Promise<Uint8Array> {
  const found = await kept.kubernetes.get(SECRETS, slotOf(kept, slot), signal)
  note(kept, slot, found)
  if (found === undefined) throw damaged(`its part ${slot} is missing`)
  const bytes = fromBase64(dataOf(found).get(PART) ?? '')
  if (sha256(bytes) !== digest) throw damaged(`its part ${slot} was changed`)
  return bytes
}

function note({ slots }: Kept, slot: number, found: KubeObject | undefined): void {
  slots.set(slot, found?.metadata.resourceVersion ?? null)
}

async function save(kept: Kept, bytes: Uint8Array): Promise<void> {
  const parts = cut(bytes, kept)
  const text = kept.head === undefined ? await readHead(kept) : kept.head.text
  const before = text === undefined ? undefined : decodeHead(text)
  await assertHead(kept)
  const places = placesFor(
    kept,
    (before?.parts ?? []).map(({ slot }) => slot),
  )
  const head: Head = { parts: [] }
  for (const part of parts) {
    head.parts.push({ slot: await savePart(kept, places, part), sha256: sha256(part) })
  }
  await saveHead(kept, encodeHead(head))
  await removeOthers(kept, new Set(head.parts.map(({ slot }) => slot)))
}

/** Slots in the order in which they are used. */
type Places = { stale: number[]; empty: number[]; left: number[]; used: number[] }

function placesFor({ slots, stale, mostParts = MOST_PARTS }: Kept, used: number[]): Places {
  const free = Array.from({ length: mostParts }, (_, slot) => slot).filter(
    (slot) => !used.includes(slot),
  )
  const isThere = (slot: number): boolean => typeof slots.get(slot) === 'string'
  return {
    stale: free.filter((slot) => isThere(slot) && stale.has(slot)),
    empty: free.filter((slot) => !isThere(slot)),
    left: free.filter((slot) => isThere(slot) && !stale.has(slot)),
    used: [...used],
  }
}

function cut(
  bytes: Uint8Array,
  { partBytes: size = PART_BYTES, mostParts = MOST_PARTS, noun = SNAPSHOT }: Kept,
): Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.length / size))
  if (count > mostParts) {
    throw new AgentError(
      'snapshot_too_large',
      `Cannot keep the ${noun} in ${mostParts} Secrets: it has ${bytes.length} bytes packed, of at most ${mostParts * size}`,
    )
  }
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

/** Another agent that has saved since may be about to use the same slots. */
async function assertHead(kept: Kept): Promise<void> {
  const texts = await readSecret(kept.kubernetes, headOf(kept), signal)
  assertSame(kept, texts?.get(HEAD))
}

function assertSame(kept: Kept, there: string | undefined): void {
  // One that was removed names nothing.
  if (there === undefined || there === kept.head?.text) return
  kept.head = undefined
  kept.slots.clear()
  const { namespace, name } = headOf(kept)
  const message = `Cannot write the Secret ${namespace}/${name}: it was changed by somebody else`
  kept.foreign?.(message)
  throw new AgentError('kubernetes_conflict', message)
}

/** Puts a part into the next slot, and says which. */
async function savePart(kept: Kept, places: Places, part: Uint8Array): Promise<number> {
  const data = { [PART]: toBase64(part) }
  while (places.stale.length === 0) {
    const slot = places.empty.shift()
    if (slot === undefined) break
    if (await createPart(kept, slot, data)) return slot
    places.left.push(slot)
  }
  const slot =
    [places.stale, places.left, places.used].find(({ length }) => length > 0)?.shift() ?? 0
  const resourceVersion = kept.slots.get(slot) ?? undefined
  const patch = { metadata: { resourceVersion }, data }
  await known(kept, slot, () => kept.kubernetes.merge(SECRETS, slotOf(kept, slot), patch, signal))
  return slot
}

/** False: somebody has left something there. */
async function createPart(kept: Kept, slot: number, data: object): Promise<boolean> {
  const ref = slotOf(kept, slot)
  try {
    await known(kept, slot, () => kept.kubernetes.create(SECRETS, newPart(ref, data), signal))
    return true
  } catch (thrown) {
    if (!isLostRace(thrown)) throw thrown
    note(kept, slot, await kept.kubernetes.get(SECRETS, ref, signal))
    return false
  }
}

/** Does a write of a slot; what becomes of one that fails is not known, and looked at the next time. */
async function known(kept: Kept, slot: number, write: () => Promise<KubeObject>): Promise<void> {
  try {
    note(kept, slot, await write())
  } catch (thrown) {
    kept.slots.delete(slot)
    throw thrown
  }
}

function newPart(metadata: { namespace: string; name: string }, data: object): KubeObject {
  const labels = { 'app.kubernetes.io/managed-by': 'runtime-agent' }
  const object = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque' }
  return { ...object, metadata: { ...metadata, labels }, data }
}

async function saveHead(kept: Kept, text: string): Promise<void> {
  const change = (texts: ReadonlyMap<string, string> | undefined) => {
    assertSame(kept, texts?.get(HEAD))
    return { [HEAD]: text }
  }
  try {
    await changeSecret(kept.kubernetes, headOf(kept), change, signal)
    kept.head = { text }
  } catch (thrown) {
    kept.head = undefined
    throw thrown
  }
}

/** What was there before holds credentials that may be old. What cannot be removed is written over later. */
async function removeOthers(kept: Kept, named: ReadonlySet<number>): Promise<void> {
  const { kubernetes, slots, stale } = kept
  for (const slot of named) stale.delete(slot)
  for (const [slot, version] of slots) {
    if (named.has(slot) || version === null) continue
    const precondition = { resourceVersion: version }
    try {
      await kubernetes.remove(SECRETS, slotOf(kept, slot), precondition, signal)
      slots.set(slot, null)
    } catch (thrown) {
      if (toAgentError(thrown).code === 'kubernetes_forbidden') stale.add(slot)
      else slots.delete(slot)
    }
  }
}

function headOf({ namespace, prefix, noun = SNAPSHOT }: Kept): { namespace: string; name: string } {
  return { namespace, name: `${prefix}-${noun}` }
}

function slotOf(
  { namespace, prefix, noun = SNAPSHOT }: Kept,
  slot: number,
): { namespace: string; name: string } {
  return { namespace, name: `${prefix}-${noun}-${slot}` }
}

function encodeHead(head: Head): string {
  return `${JSON.stringify({ version: VERSION, ...head }, null, 2)}\n`
}

function decodeHead(text: string): Head | undefined {
  try {
    const json = asObject(JSON.parse(text), 'head')
    if (json['version'] !== VERSION) return undefined
    const parts = arrayOf(json['parts'], 'parts', (value, path) => {
      const part = asObject(value, path)
      const slot = asNumber(part['slot'], `${path}.slot`)
      return { slot, sha256: asString(part['sha256'], `${path}.sha256`) }
    })
    const known = parts.every(
      ({ slot }) => Number.isInteger(slot) && slot >= 0 && slot < MOST_PARTS,
    )
    return known ? { parts } : undefined
  } catch {
    return undefined
  }
}

function damaged(why: string): AgentError {
  return new AgentError('snapshot_damaged', `Cannot use the kept snapshot: ${why}`)
}
