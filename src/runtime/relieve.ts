import { memoryUsage, runtimeName } from './process.ts'

/** Less is not worth the 10 ms of a collection. */
const SLACK = 4 * 1024 * 1024

/** Resident bytes after the latest collection. */
let settled = 0

/**
 * Gives back what is no longer needed, and its pages, when much has come together since the last time. For the moments
 * after a step: nothing runs for minutes then, and what the step left behind would stay resident. Only Bun's collector
 * can be asked.
 */
export function relieveMemory(slack = SLACK): void {
  if (runtimeName !== 'bun' || memoryUsage().rss - settled < slack) return
  Bun.gc(true)
  settled = memoryUsage().rss
}
