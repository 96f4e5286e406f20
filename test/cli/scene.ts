/** A directory, a plane and an agent for one transcript. */
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { inStep, openHome, temporaryDirectory } from '../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../e2e/support/agent-home.ts'
import { landscapeFor } from '../e2e/support/landscape.ts'
import { startPlane } from '../e2e/support/plane-process.ts'
import type { PlaneProcess } from '../e2e/support/plane-process.ts'
import { executable } from '../e2e/support/program.ts'
import { transcribed, words } from './transcript.ts'

export type Scene = {
  file(name: string, content: string): void
  /** What was printed, and `[exit N]`. */
  type(line: string): Promise<string>
  close(): Promise<void>
}

export function openScene(): Scene {
  const home = openHome({})
  rmSync(home.path('agent.yaml'))
  let plane: PlaneProcess | undefined
  let agent: Agent | undefined
  const stages: Record<string, () => Promise<void>> = {
    async 'start plane'() {
      plane = await startPlane({
        directory: temporaryDirectory(),
        landscape: landscapeFor(['demo']),
      })
      copyFileSync(plane.ca, home.path('ca.pem'))
    },
    async 'serve less'() {
      await plane?.serve({ ...landscapeFor(['demo']), applications: [] })
    },
    async 'give token'() {
      home.giveToken((await plane?.token('demo')) ?? '')
    },
    async 'start agent'() {
      agent = home.start()
      await agent.until('it is in step', inStep)
    },
    async 'stop agent'() {
      await agent?.stop()
    },
  }
  return {
    file(name, content) {
      mkdirSync(dirname(home.path(name)), { recursive: true })
      writeFileSync(home.path(name), content)
    },
    async type(line) {
      const stage = stages[line]
      if (stage === undefined) return runAgent(line, home)
      await stage()
      return ''
    },
    async close() {
      agent?.signal('SIGKILL')
      await plane?.close()
    },
  }
}

async function runAgent(line: string, home: AgentHome): Promise<string> {
  const [program, ...args] = words(line)
  if (program !== 'agent') throw new Error(`a transcript cannot type ${line}`)
  const path = join(temporaryDirectory(), 'output')
  // One file for both, so that their lines keep their order.
  const file = openSync(path, 'a')
  const child = Bun.spawn([executable(), ...args], {
    cwd: home.directory,
    env: { PATH: process.env['PATH'] ?? '' },
    stdin: 'ignore',
    stdout: file,
    stderr: file,
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  await child.exited
  closeSync(file)
  // Where a transcript runs is not its business.
  const output = readFileSync(path, 'utf8').replaceAll(home.directory, '/home/demo')
  return transcribed(output, child.exitCode)
}
