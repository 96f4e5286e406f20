import type { Problem } from '../model/problem.ts'
import type { Clock } from '../runtime/clock.ts'
import { storeDocument } from './dapr-file.ts'
import type { SeenFile } from './dapr-seen.ts'
import { settle } from './dapr-sidecars.ts'
import type { DaprReader } from './dapr-sidecars.ts'
import { unreadable } from './dapr-verdict.ts'
import { renameIn } from './dapr-write.ts'
import type { Staged, WriteInput } from './dapr-write.ts'
import { yamlOf } from './dapr-yaml.ts'

export type CanaryInput = {
  write: WriteInput
  seen: SeenFile
  /** The secrets are on disk. */
  staged: Staged
  /** Sidecars that are there. */
  before: ReadonlySet<string>
  readers: readonly DaprReader[]
  clock: Clock
  signal: AbortSignal
}

/**
 * Whether daprd can read secrets where they are now: asked with a store of another name, as one that cannot be read takes
 * all that refers to it along. It is gone again when this ends; after a crash the next write takes it away.
 */
export async function mayRead(
  input: CanaryInput,
): Promise<{ proved: boolean; unreadable?: Problem }> {
  const { write, seen, staged, before, clock, signal } = input
  const readers = input.readers.filter(
    // One that has to be started anew would be for nothing but this.
    ({ sidecar, reload }) => reload === 'hot' && before.has(sidecar.name),
  )
  if (readers.length === 0 || staged.secretsFile === undefined) return { proved: false }
  const rules = { ...write.rules, store: `${write.rules.store}-check` }
  const canary = yamlOf(storeDocument(staged.secretsFile, rules))
  const now = seen.text ?? staged.text.slice(0, staged.text.indexOf('\napiVersion') + 1)
  const text = seen.text === null ? now + canary : `${now}---\n${canary}`
  try {
    await renameIn(write, text)
    const document = {
      apiVersion: '',
      kind: 'Component' as const,
      metadata: { name: rules.store },
      spec: {},
    }
    const owner = { slice: 'configuration' as const, document: rules.store }
    const expected = { objects: [{ key: rules.store, owner, document }], store: undefined }
    const again = (): Promise<void> => Promise.resolve()
    const looks = await settle({ readers, expected, before, late: false, again, clock, signal })
    const failed = looks.find(({ look }) => look.state === 'there' && look.missing.length > 0)
    if (failed !== undefined) return { proved: false, unreadable: unreadable(failed.name) }
    return { proved: looks.every(({ look }) => look.state === 'there') }
  } finally {
    await renameIn(write, now)
  }
}
