import { AgentError } from '../model/problem.ts'

/** The `code` of an error of the operating system, for example `ENOENT`; `undefined` for anything else. */
export function errorCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' ? thrown.code : undefined
}

/** The system's own words without code, call and path: `no space left on device`. */
export function errorReason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'unknown reason'
  const words = /^[A-Z0-9_]+: ([^,]+)/.exec(thrown.message)?.[1] ?? thrown.message
  return words.replace(/\.$/, '')
}

/** Full and quota become `disk_full`, everything else `disk_failed`: "Cannot `action` `path`: reason (CODE)". */
export function diskError(action: string, path: string, thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown
  const code = errorCode(thrown)
  const full = code === 'ENOSPC' || code === 'EDQUOT'
  const detail = code === undefined ? '' : ` (${code})`
  return new AgentError(
    full ? 'disk_full' : 'disk_failed',
    `Cannot ${action} ${path}: ${errorReason(thrown)}${detail}`,
    { cause: thrown },
  )
}

/** Runs a file operation; its failure becomes a {@link diskError}. */
export async function onDisk<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw diskError(action, path, thrown)
  }
}

/** As {@link onDisk}, with `undefined` for what does not exist. */
export function onDiskIfThere<T>(
  action: string,
  path: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  return onDisk(action, path, async () => {
    try {
      return await work()
    } catch (thrown) {
      const code = errorCode(thrown)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw thrown
    }
  })
}
