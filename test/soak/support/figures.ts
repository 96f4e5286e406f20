/** What a soak counts, and what it measures of a process. */
import { readdirSync, readFileSync } from 'node:fs'

/** Names and how often, in the order in which they came up. */
export type Counts = {
  add(name: string): void
  of(name: string): number
  text(): string
}

export function openCounts(): Counts {
  const counts = new Map<string, number>()
  return {
    add: (name) => void counts.set(name, (counts.get(name) ?? 0) + 1),
    of: (name) => counts.get(name) ?? 0,
    text: () => [...counts].map(([name, count]) => `${name} ${count}`).join(', '),
  }
}

/** Of a process on Linux: resident memory in MB, open descriptors. */
export type Usage = { memory: number; descriptors: number }

export function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  }
}
