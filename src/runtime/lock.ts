/** Held until released or until this process ends, however it ends. */
export interface Lock {
  release(): Promise<void>
}

/**
 * Takes the lock of a file, which is created 0600 when missing and never removed. `undefined`: another process holds it.
 *
 * Throws `state_unusable` when the file cannot be opened or made.
 */
export function acquireLock(path: string): Promise<Lock | undefined> {
  void path
  return Promise.reject(new Error('not yet'))
}
