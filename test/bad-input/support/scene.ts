/** A plane in this process, and agents of the executable that are set up wrongly beside it. */
import { expect } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openPlane } from '../../../src/devplane/plane.ts'
import type { Plane, PlaneOptions } from '../../../src/devplane/plane.ts'
import type { Problem } from '../../../src/model/problem.ts'
import type { Status } from '../../../src/model/status.ts'
import { inStep, openHome, temporaryDirectory } from '../../e2e/support/agent-home.ts'
import type { Agent, AgentHome } from '../../e2e/support/agent-home.ts'
import { seenIn } from '../../e2e/support/bindings.ts'
import { expectedFor, landscapeFor, parsed } from '../../e2e/support/landscape.ts'
import { ensureExecutable, finish } from '../../e2e/support/program.ts'
import type { StartOptions } from '../../e2e/support/program.ts'
import { wellSaidProblem } from './message.ts'

export type Scene = {
  readonly plane: Plane
  /** File of the plane's CA. */
  readonly ca: string
  /** A home for a runtime of the landscape. */
  home(ca?: string): AgentHome
  token(runtime: string): Promise<string>
  /** Waits until the agent is in step with what this runtime must have. */
  healed(agent: Agent, home: AgentHome, runtime: string, limit?: number): Promise<Status>
  close(): Promise<void>
}

export async function openScene(
  runtimes: readonly string[],
  options: Partial<PlaneOptions> = {},
): Promise<Scene> {
  await ensureExecutable()
  const file = landscapeFor(runtimes)
  const plane = await openPlane({ landscape: parsed(file), ...options })
  const ca = join(temporaryDirectory(), 'ca.pem')
  writeFileSync(ca, plane.caPem)
  const agents = new Set<Agent>()
  return {
    plane,
    ca,
    home: (file = ca) => openHome({ ca: file }),
    token: async (runtime) => (await plane.issueToken({ runtime })).rawEncoded,
    async healed(agent, home, runtime, limit) {
      agents.add(agent)
      const status = await agent.until('it is in step', inStep, limit)
      expect(seenIn(home.path('out'))).toEqual(expectedFor(runtime, file))
      return status
    },
    close: () => plane.close(),
  }
}

/**
 * The one problem that the agent has when it has come to rest: it runs on, says it well, and says it once in the log, in
 * the status and on the command line.
 */
export async function onlyProblem(agent: Agent, home: AgentHome): Promise<Problem> {
  const status = await agent.until(
    'it has come to rest with a problem',
    ({ problems, state }) => problems.length > 0 && state === 'idle',
  )
  expect(status.problems.map(({ message }) => message)).toHaveLength(1)
  const [problem] = status.problems as [Problem]
  wellSaidProblem(problem)
  const shown = await finish(['status', '--config', home.path('agent.yaml')], {
    cwd: home.directory,
  })
  expect([shown.code, shown.err]).toEqual([0, ''])
  expect(shown.out).toContain(problem.message)
  expect(shown.out).toContain(problem.hint)
  expect(agent.isRunning()).toBe(true)
  return problem
}

/** Starts, and gives what {@link onlyProblem} finds. */
export async function startWrong(
  home: AgentHome,
  options?: Partial<StartOptions>,
): Promise<{ agent: Agent; problem: Problem }> {
  const agent = home.start(options)
  return { agent, problem: await onlyProblem(agent, home) }
}
