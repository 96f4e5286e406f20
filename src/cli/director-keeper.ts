import { resolveValue, describeSource } from '../config/value.ts'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import { claimKey, isNew } from '../runtime-director/keeper.ts'
import type { Keeper } from '../runtime-director/keeper.ts'
import { SCHEMA } from '../runtime-director/tables.ts'
import type { Tables } from '../runtime-director/tables.ts'
import { systemClock } from '../runtime/clock.ts'
import { ensureDirectory, readText, writeNew } from '../runtime/files.ts'
import { certificateInfo, splitPem } from '../runtime/keys.ts'
import { fileMode } from '../runtime/owner.ts'
import { join } from '../runtime/path.ts'
import { env } from '../runtime/process.ts'
import { isSealKey, newSealKey } from '../runtime/seal.ts'
import { openStorage } from '../storage/storage.ts'
import type { Place, Storage } from '../storage/storage.ts'
import type { DirectorConfig } from './director-config.ts'

export type OpenKeeper = { keeper: Keeper; close(): Promise<void> }

/** Opens the store that director.yaml names, with its key. */
export async function openKeeper(
  config: DirectorConfig,
  lost: (reason: string) => void,
): Promise<OpenKeeper> {
  const place = await placeOf(config)
  if ('sqlite' in place || config.store.key === undefined)
    await ensureDirectory(config.state, { mode: 0o700 })
  const { migrate } = config.store
  const storage = await openStorage<Tables>(place, SCHEMA, { migrate, lost })
  try {
    const key = await keyOf(config, storage)
    await claimKey(storage, key)
    const keeper = { storage, key, now: () => systemClock.now() }
    return { keeper, close: () => storage.close() }
  } catch (thrown) {
    await storage.close()
    throw thrown
  }
}

async function placeOf({ store, state }: DirectorConfig): Promise<Place> {
  const { postgres } = store
  if (postgres === undefined) return { sqlite: join(state, 'director.db') }
  const url = await resolveValue(postgres, {
    file: (path) => readText(path, 64 * 1024),
    env,
    secret: () => Promise.resolve(undefined),
  })
  if (url !== undefined && /^postgres(ql)?:\/\//.test(url.reveal())) return { postgres: url }
  const why =
    url === undefined ? 'it is missing or empty' : 'want postgres://USER:PASSWORD@HOST/DATABASE'
  throw new AgentError(
    'config_invalid',
    `Cannot use ${describeSource(postgres)} as store.postgres: ${why}`,
    { hint: 'correct store.postgres, or what it names' },
  )
}

/** A key is made once, for a store that holds nothing yet. */
async function keyOf({ store, state }: DirectorConfig, storage: Storage<Tables>): Promise<Secret> {
  const path = store.key ?? join(state, 'store.key')
  const text = await readText(path, 1024)
  if (text === undefined) {
    if (!(await isNew(storage)))
      throw new AgentError('store_key_wrong', `Cannot read the store: there is no key in ${path}`)
    const key = newSealKey()
    await writeNew(path, `${key.reveal()}\n`, { mode: 0o600 })
    return key
  }
  if (((await fileMode(path)) & 0o007) !== 0)
    throw unfit(path, 'other users can read it, want mode 0600')
  if (!isSealKey(text)) throw unfit(path, 'want 64 hexadecimal digits')
  return new Secret(text.trim())
}

function unfit(path: string, why: string): AgentError {
  return new AgentError('store_key_wrong', `Cannot use the key ${path}: ${why}`, {
    hint: 'a new one for a new store: openssl rand -hex 32 > FILE && chmod 600 FILE',
  })
}

type TlsFiles = { key: Secret; certificate: string }

/** The PEM files of a server, which fit together. */
export async function serverFiles({ tls, clients, admin }: DirectorConfig): Promise<{
  agents: TlsFiles & { clientCa: string }
  admin: { tls?: TlsFiles }
}> {
  const clientCa = await pemFile(clients.ca, 'clients.ca')
  return {
    agents: { ...(await pairOf(tls, 'tls')), clientCa },
    admin: admin.tls === undefined ? {} : { tls: await pairOf(admin.tls, 'admin.tls') },
  }
}

async function pairOf(
  given: { certificate: string; key: string },
  path: string,
): Promise<TlsFiles> {
  const certificate = await pemFile(given.certificate, `${path}.certificate`)
  const key = new Secret((await readText(given.key, 64 * 1024)) ?? '')
  if (key.isEmpty) throw badFile(given.key, `${path}.key`, 'it is missing or empty')
  if (!certificateInfo(certificate).publicKeyMatches(key))
    throw badFile(given.key, `${path}.key`, `it is not the key of ${given.certificate}`)
  return { certificate, key }
}

async function pemFile(file: string, path: string): Promise<string> {
  const blocks = splitPem((await readText(file, 4 * 1024 * 1024)) ?? '')
  if (blocks.length === 0) throw badFile(file, path, 'there is no PEM certificate in it')
  return blocks.join('')
}

function badFile(file: string, path: string, why: string): AgentError {
  return new AgentError('config_invalid', `Cannot use ${file} as ${path}: ${why}`, {
    hint: 'correct director.yaml, or what it names',
  })
}
