/** The other end of loopback-child.ts: a control plane that a guest reaches, and files that it can download. */
import { join } from 'node:path'
import type { Landscape } from '../../../src/devplane/landscape.ts'
import type { Plane } from '../../../src/devplane/plane.ts'
import type { Guest } from './guest.ts'

type Method = 'issueToken' | 'set' | 'reset' | 'replace' | 'revoke' | 'runtimes' | 'events'

export type Call = { id: number; method: Method; args: unknown[] }
export type Said =
  | { ready: { caPem: string; filesUrl: string } }
  | { id: number; value: unknown }
  | { id: number; error: string }

/** Methods of a plane, over a distance. */
type Far = {
  [M in Method]: (...args: Parameters<Plane[M]>) => Promise<Awaited<ReturnType<Plane[M]>>>
}

export type Loopback = Far & {
  readonly caPem: string
  /** Of the directory that is served. */
  readonly filesUrl: string
  close(): Promise<void>
}

export async function openLoopback(
  guest: Guest,
  { directory, landscape }: { directory: string; landscape: Landscape },
): Promise<Loopback> {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  const ready = Promise.withResolvers<{ caPem: string; filesUrl: string }>()
  const script = join(import.meta.dir, 'loopback-child.ts')
  const argv = [process.execPath, script, directory, JSON.stringify(landscape)]
  const child = Bun.spawn([...guest.inNetwork, ...argv], {
    serialization: 'json',
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    ipc(said: Said) {
      if ('ready' in said) {
        ready.resolve(said.ready)
        return
      }
      const asked = waiting.get(said.id)
      waiting.delete(said.id)
      if ('error' in said) asked?.reject(new Error(said.error))
      else asked?.resolve(said.value)
    },
    onExit(_child, code) {
      const ended = new Error(`the control plane of the guest ended with ${String(code)}`)
      ready.reject(ended)
      for (const { reject } of waiting.values()) reject(ended)
    },
  })
  let calls = 0
  const far =
    (method: Method) =>
    (...args: unknown[]): Promise<unknown> => {
      const answer = Promise.withResolvers<unknown>()
      calls += 1
      waiting.set(calls, answer)
      child.send({ id: calls, method, args } satisfies Call)
      return answer.promise
    }
  const methods: Method[] = [
    'issueToken',
    'set',
    'reset',
    'replace',
    'revoke',
    'runtimes',
    'events',
  ]
  return {
    ...(Object.fromEntries(methods.map((method) => [method, far(method)])) as Far),
    ...(await ready.promise),
    async close() {
      child.kill()
      await child.exited
    },
  }
}
