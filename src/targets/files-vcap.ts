import { arrayOf, asObject, asString, Malformed } from '../model/decode.ts'
import { AgentError } from '../model/problem.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import type { FileFacts } from '../runtime/file-facts.ts'
import { join } from '../runtime/path.ts'
import { FILE_MODE } from './files-layout.ts'
import type { ManifestObject } from './files-manifest.ts'

/*
 * All bindings of a generation in one file, as VCAP_SERVICES_FILE_PATH of Cloud Foundry names one. It is made from what the
 * generation holds and not from what is desired: what the guard keeps must not vanish from it.
 */

const VCAP = 'vcap_services.json'

/** How the file was when it was written: any difference, and it is written again. */
export type VcapFile = { size: number; mtimeMs: number; inode: number }

type Access = { uid: number; gid: number }

type VcapInput = {
  disk: BulkFiles
  /** Path of the generation, in which all objects are. */
  directory: string
  objects: readonly ManifestObject[]
  gid: number
}

/** Bindings between two pauses. */
const BATCH = 25

export async function writeVcap(input: VcapInput): Promise<VcapFile> {
  const { disk, directory, objects, gid } = input
  const services: Record<string, object[]> = {}
  const bindings = objects.filter(({ key }) => key.startsWith('binding/'))
  for (const [index, { name, files }] of bindings.entries()) {
    if (index % BATCH === BATCH - 1) await disk.pause()
    const paths = files.map(({ path }) => path)
    const binding = readBinding(disk, directory, { name, paths })
    if (binding !== undefined) (services[binding.label] ??= []).push(binding)
  }
  const text = `${JSON.stringify(services)}\n`
  const facts = disk.write(join(directory, VCAP), text, { mode: FILE_MODE, gid })
  return { size: facts.size, mtimeMs: facts.mtimeMs, inode: facts.inode }
}

/** Whether the file is as it was left. */
export function isVcapAsLeft(
  disk: BulkFiles,
  directory: string,
  { left, access }: { left: VcapFile; access: Access },
): boolean {
  const facts = disk.look(join(directory, VCAP))
  return facts !== undefined && isAllowed(facts, access) && isSame(facts, left)
}

function isAllowed({ kind, mode, uid, gid }: FileFacts, access: Access): boolean {
  return kind === 'file' && mode === FILE_MODE && uid === access.uid && gid === access.gid
}

function isSame(facts: FileFacts, left: VcapFile): boolean {
  return facts.size === left.size && facts.mtimeMs === left.mtimeMs && facts.inode === left.inode
}

type Service = { label: string; name: string; credentials: Record<string, unknown> }

/** A service as Cloud Foundry tells of one. Undefined: the binding has no files just now. */
function readBinding(
  disk: BulkFiles,
  directory: string,
  { name, paths }: { name: string; paths: readonly string[] },
): Service | undefined {
  const place = `bindings/${name}/`
  const valueOf = (key: string): string | undefined =>
    paths.includes(place + key) ? disk.read(join(directory, place, key)) : undefined
  const metadata = valueOf('.metadata')
  if (metadata === undefined) return undefined
  const read = (list: readonly Property[]): Record<string, unknown> =>
    Object.fromEntries(
      list.flatMap(({ name: key, format }): [string, unknown][] => {
        const value = valueOf(key)
        return value === undefined ? [] : [[key, format === 'json' ? JSON.parse(value) : value]]
      }),
    )
  const { meta, credentials } = propertiesOf(metadata, place)
  const { type, provider } = read(meta)
  return {
    label: String(type),
    name,
    ...{ instance_name: name, binding_name: null, tags: [type, provider] },
    credentials: read(credentials),
    ...{ syslog_drain_url: null, volume_mounts: [] },
  }
}

type Property = { name: string; format: string }

function propertiesOf(text: string, place: string): { meta: Property[]; credentials: Property[] } {
  const property = (value: unknown, at: string): Property => {
    const json = asObject(value, at)
    return { name: asString(json['name'], at), format: asString(json['format'], at) }
  }
  try {
    const json = asObject(JSON.parse(text) as unknown, 'it')
    return {
      meta: arrayOf(json['metaDataProperties'], 'metaDataProperties', property),
      credentials: arrayOf(json['credentialProperties'], 'credentialProperties', property),
    }
  } catch (thrown) {
    const why = thrown instanceof Malformed ? thrown.message : 'it is no JSON'
    throw new AgentError('output_damaged', `Cannot read ${place}.metadata: ${why}`)
  }
}
