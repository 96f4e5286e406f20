import { Json } from '../clients/decode.ts'
import type { Identity } from '../model/identity.ts'
import { Secret } from '../model/secret.ts'
import { formatInstant, type Instant } from '../model/time.ts'
import * as runtimeFiles from '../runtime/files.ts'
import { join } from '../runtime/path.ts'
import { decodePlane } from './journal.ts'
import { identityOf } from './store.ts'

/*
 * One identity as a directory `gen-000042` of three files, written once and never changed. It is made under the name
 * `gen-000042.new` and renamed when it is whole and on disk, so whatever is called `gen-NNNNNN` was whole once.
 */

/** The file operations of the disk store; tests put a failing disk here. */
export type Files = Pick<
  typeof runtimeFiles,
  | 'ensureDirectory'
  | 'list'
  | 'lstat'
  | 'readSymlink'
  | 'readText'
  | 'removeFile'
  | 'removeTemporary'
  | 'removeTree'
  | 'rename'
  | 'replaceSymlink'
  | 'syncDirectory'
  | 'syncHandle'
  | 'writeAtomic'
  | 'writeNew'
>

const NAME = /^gen-(\d{6,12})(\.new)?$/
const VERSION = 1
const LONGEST = 1024 * 1024
const CONTENT = ['chain.pem', 'key.pem', 'meta.json']

/** `gen-000042`. */
export function generationName(number: number): string {
  return `gen-${String(number).padStart(6, '0')}`
}

/** The number in a name; `whole` is false while it is written. undefined: not a generation's name. */
export function parseGeneration(name: string): { number: number; whole: boolean } | undefined {
  const match = NAME.exec(name)
  return match === null ? undefined : { number: Number(match[1]), whole: match[2] === undefined }
}

/** Writes a whole generation and reads it back; on disk, under its final name, when this resolves. */
export async function writeGeneration(
  files: Files,
  place: { directory: string; name: string },
  identity: Identity,
  at: Instant,
): Promise<void> {
  const unfinished = join(place.directory, `${place.name}.new`)
  await files.ensureDirectory(unfinished, { mode: 0o700 })
  const { plane, runtimeId, fingerprint, notAfter } = identity
  const meta = {
    version: VERSION,
    fingerprint,
    runtimeId,
    plane,
    notAfter: formatInstant(notAfter),
    written: formatInstant(at),
  }
  const content: [string, string][] = [
    ['key.pem', identity.key.reveal()],
    ['chain.pem', identity.chain],
    ['meta.json', `${JSON.stringify(meta, null, 2)}\n`],
  ]
  for (const [name, data] of content) {
    await files.writeNew(join(unfinished, name), data, { mode: 0o600 })
    await files.syncHandle(join(unfinished, name))
  }
  await files.syncDirectory(unfinished)
  await readGeneration(files, unfinished)
  await files.rename(unfinished, join(place.directory, place.name))
  await files.syncDirectory(place.directory)
}

/**
 * Reads and verifies a generation: three plain files, key and chain fit, and the certificate is the one of meta.json.
 *
 * @throws Error (AgentError of disk or certificate, or one that names the place in meta.json); no message holds a value
 */
export async function readGeneration(files: Files, path: string): Promise<Identity> {
  const key = new Secret(await readPlain(files, path, 'key.pem'))
  const chain = await readPlain(files, path, 'chain.pem')
  const meta = parseMeta(await readPlain(files, path, 'meta.json'))
  const identity = identityOf({
    key,
    chain,
    plane: decodePlane(meta.object('plane')),
    runtimeId: meta.text('runtimeId'),
  })
  if (identity.fingerprint !== meta.text('fingerprint')) {
    throw new TypeError('meta.json is for another certificate')
  }
  return identity
}

/** A pipe in place of a file would block for ever, a symlink could lead anywhere. */
async function readPlain(files: Files, path: string, name: string): Promise<string> {
  const file = join(path, name)
  const kind = (await files.lstat(file))?.kind
  if (kind !== undefined && kind !== 'file') throw new TypeError(`${name} is a ${kind}`)
  const text = await files.readText(file, LONGEST)
  if (text === undefined) throw new TypeError(`${name} is missing`)
  return text
}

function parseMeta(text: string): Json {
  try {
    return new Json(JSON.parse(text), 'meta.json')
  } catch {
    throw new TypeError('meta.json is not JSON')
  }
}

/** Removes a generation; one that holds anything that we do not write stays. */
export async function removeGeneration(files: Files, path: string): Promise<void> {
  if ((await files.lstat(path))?.kind !== 'directory') return
  const names = (await files.list(path)) ?? []
  if (names.every((name) => CONTENT.includes(name))) await files.removeTree(path)
}
