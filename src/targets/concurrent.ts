/** @testing Requests in flight at most, for one target. */
export const CONCURRENT = 16

/**
 * Does the work for each of the items, {@link CONCURRENT} at a time, and gives the results in the order of the items.
 * The first that throws, or the signal, lets no further one begin; it is thrown when those under way have ended, so
 * that nothing is still being written when the caller goes on.
 */
export async function mapConcurrently<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  signal: AbortSignal,
): Promise<R[]> {
  const results: R[] = []
  const failures: unknown[] = []
  const queue = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (signal.aborted || failures.length > 0) return
      try {
        results[index] = await work(item)
      } catch (thrown) {
        failures.push(thrown)
      }
    }
  }
  const workers = Math.min(CONCURRENT, items.length)
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
  signal.throwIfAborted()
  return results
}
