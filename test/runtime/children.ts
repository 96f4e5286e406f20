import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Starts a program of this folder under the runtime that runs the test; stdout and stderr are pipes. */
export function startChild(
  name: string,
  args: string[],
  env: Record<string, string> = {},
): ChildProcess {
  const program = fileURLToPath(new URL(name, import.meta.url))
  const clean = Object.entries(process.env).filter(([key]) => !/proxy|SSL_CERT|NODE_/i.test(key))
  return spawn(process.execPath, ['run', program, ...args], {
    env: { ...Object.fromEntries(clean), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** All that a child prints until it ends: to stdout, and to stderr when asked. */
export async function outputOf(child: ChildProcess, stderr = false): Promise<string> {
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (text += stderr ? chunk.toString() : ''))
  await once(child, 'close')
  return text
}

/** Waits for the first line that a child prints. */
export async function firstLine(child: ChildProcess): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const [line, rest] = text.split('\n')
      if (rest !== undefined) resolve(line ?? '')
    })
    child.stderr?.resume()
    child.once('close', () => reject(new Error(`it ended after printing ${JSON.stringify(text)}`)))
  })
}

/** kill -9, and gone when this resolves. */
export async function killHard(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
