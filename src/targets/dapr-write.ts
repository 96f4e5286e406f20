import { sha256 } from '../model/digest.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import { basename, dirname, join } from '../runtime/path.ts'
import { secretRefs } from './dapr-document.ts'
import { decodeFile, encodeFile, RESOURCES_MODE } from './dapr-file.ts'
import type { FileRules } from './dapr-file.ts'
import type { NextObject } from './dapr-choose.ts'
import { hashOf, mergeSecrets, readSecrets, writeSecrets } from './dapr-secrets.ts'
import type { SecretsPlace, SecretValues } from './dapr-secrets.ts'
import { secretOf } from './dapr-seen.ts'
import type { Mark } from './files-manifest.ts'

export type WriteInput = {
  disk: BulkFiles
  /** Our file among the resources. */
  path: string
  place: SecretsPlace
  mark: Mark
  rules: FileRules
}

/** A file that is ready to be renamed in: its secrets are on disk. */
export type Staged = {
  text: string
  sha256: string
  generation: number
  secretsFile: string | undefined
  /** Which secrets are in it. */
  hash: string | undefined
}

/** Writes the secrets first: what refers to a file that is not there would be called without credentials. */
export async function stage(
  input: WriteInput,
  next: ReadonlyMap<string, NextObject>,
  { generation, changed }: { generation: number; changed: ReadonlySet<string> },
): Promise<Staged> {
  const { place, mark, rules } = input
  const values = valuesOf(next, changed)
  const secretsFile = values.size === 0 ? undefined : await writeSecrets(place, mark, values)
  const objects = [...next.values()].map(({ file }) => file)
  const file = { ...mark, generation, objects }
  const text = encodeFile(secretsFile === undefined ? file : { ...file, secretsFile }, rules)
  const hash = secretsFile === undefined ? undefined : hashOf(values, place.digestKey)
  return { text, sha256: sha256(text), generation, secretsFile, hash }
}

/** Where an object that stays and one that changes share a value, the new one counts. */
function valuesOf(
  next: ReadonlyMap<string, NextObject>,
  changed: ReadonlySet<string>,
): SecretValues {
  const stays = [...next].filter(([key]) => !changed.has(key))
  const comes = [...next].filter(([key]) => changed.has(key))
  return mergeSecrets(
    [...stays, ...comes].map(([, { file, secret }]) => used(file.document.spec, secret)),
  )
}

function used(spec: Parameters<typeof secretRefs>[0], secret: NextObject['secret']) {
  if (secret === undefined) return undefined
  const keys = new Set(secretRefs(spec).map(({ key }) => key))
  const members = Object.entries(secret.values).filter(([key]) => keys.has(key))
  return { name: secret.name, values: Object.fromEntries(members) }
}

/** What an earlier file of ours held, as far as its secrets are still there. */
export function previousObjects(
  { place, rules }: WriteInput,
  text: string | null,
): Map<string, NextObject> & { secretsFile?: string } {
  const file = text === null ? undefined : decodeFile(text, rules)
  const { secretsFile, objects = [] } = file ?? {}
  const values = secretsFile === undefined ? undefined : readSecrets(place, secretsFile)?.values
  const before = new Map(
    objects.map((one): [string, NextObject] => [
      one.key,
      { file: one, secret: secretOf(one, rules, values ?? new Map()) },
    ]),
  )
  return secretsFile === undefined ? before : Object.assign(before, { secretsFile })
}

/**
 * Where the next version is made: below the directory, for a rename to be possible, and not in it, as daprd would look at
 * everything again for each name that comes and goes there (with 200 Components that takes it a second).
 */
function stagingOf(path: string): string {
  return join(dirname(path), `.${basename(path, '.yaml')}`)
}

/** Whole or not at all. */
export async function renameIn({ disk, path }: WriteInput, text: string): Promise<void> {
  const staging = stagingOf(path)
  if (disk.look(staging) === undefined) disk.makeDirectory(staging, { mode: 0o700, gid: undefined })
  await disk.replace(path, text, { mode: RESOURCES_MODE, gid: undefined, staging })
}

/** What a killed process was writing. */
export function sweepResources({ disk, path }: Pick<WriteInput, 'disk' | 'path'>): void {
  const staging = stagingOf(path)
  const start = `.${basename(path)}.`
  for (const name of disk.list(staging) ?? [])
    if (name.startsWith(start)) disk.remove(join(staging, name))
}
