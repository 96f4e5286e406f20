/** The machine on which something was measured: figures mean nothing without it. */
import { spawnSync } from 'node:child_process'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { productVersion } from './repository.ts'

/** One line a fact. */
export function machineFacts(): string[] {
  const processor = cpus()[0]?.model ?? 'unknown processor'
  const memory = (totalmem() / 2 ** 30).toFixed(0)
  const node = spawnSync('node', ['--version'], { encoding: 'utf8' }).stdout.trim() || 'no Node'
  return [
    `machine   ${availableParallelism()} cores, ${processor}, ${memory} GiB`,
    `system    ${type()} ${release()}, ${process.arch}`,
    `runtimes  Bun ${Bun.version}, Node ${node}`,
    `product   ${productVersion()}`,
    `when      ${new Date().toISOString()}`,
  ]
}
