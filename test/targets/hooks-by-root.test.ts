import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HookConfig } from '../../src/config/config.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { writeAtomic } from '../../src/runtime/files.ts'
import { holdDirectory } from '../../src/runtime/held-directory.ts'
import { runRequests } from '../../src/targets/hook-helper.ts'
import { openRootHooks } from '../../src/targets/hooks-by-root.ts'
import type { Hooks } from '../../src/targets/hooks.ts'
import { Commands, codesOf, hook, hooksContract } from './hooks.contract.ts'
import type { HooksPlace } from './hooks.contract.ts'

/** Both sides, where sleeping lets systemd start the other one. */
class BothSides implements HooksPlace {
  readonly directory = mkdtempSync(join(tmpdir(), 'agent-hooks-'))
  readonly requests = join(this.directory, 'state/hooks')
  readonly outcomes = join(this.directory, 'outcomes')
  readonly journal = join(this.directory, 'state/hooks-files.json')
  readonly commands = new Commands()
  /** agent.yaml as root reads it; undefined: as the agent does. */
  roots: HookConfig[] | undefined
  /** Whether systemd starts the helper. */
  starts = true
  slept = 0
  log: string[] = []
  #hooks: HookConfig[] = []

  readonly clock: Clock = {
    now: () => 1000 + this.slept,
    sleep: async (length, signal) => {
      this.slept += length
      if (this.starts) await this.help(signal)
    },
  }

  constructor() {
    mkdirSync(this.outcomes)
    mkdirSync(join(this.directory, 'state'))
  }

  readonly open = (hooks: HookConfig[]): Hooks => {
    this.#hooks = hooks
    const { journal, requests, outcomes, clock } = this
    return openRootHooks({
      ...{ journal, requests, outcomes, clock, hooks },
      target: 'files',
      patience: 2000,
    })
  }

  async help(signal: AbortSignal): Promise<boolean> {
    const requests = holdDirectory(this.requests)
    if (requests === undefined) return true
    try {
      const { outcomes, commands } = this
      const hooksOf = (target: string) =>
        target === 'files' ? (this.roots ?? this.#hooks) : undefined
      const say = (line: string): void => void this.log.push(line)
      const options = { requests, outcomes, hooksOf, run: commands.run, write: writeAtomic, say }
      return await runRequests(options, signal)
    } finally {
      requests.close()
    }
  }

  asked(): string[] {
    return readdirSync(this.requests).sort()
  }

  readonly damage = (text: string): void => writeFileSync(this.journal, text)

  readonly close = (): void => rmSync(this.directory, { recursive: true })
}

hooksContract('run by root', () => new BothSides())

let place: BothSides
beforeEach(() => {
  place = new BothSides()
})
afterEach(() => place.close())

const { signal } = new AbortController()

describe('commands that root runs', () => {
  test('are asked for all at once, by what holds no command, and leave no request', async () => {
    const hooks = place.open([hook('one', ['a']), hook('two')])
    await hooks.prepare({ current: 0, next: 1, names: ['a', 'b'] })
    const seen: string[][] = []
    place.commands.look = () => seen.push(place.asked())
    expect(await hooks.run(1, signal)).toEqual([])
    expect(seen).toEqual([['files-1000.json', 'files-1001.json'], ['files-1001.json']])
    expect(place.slept).toBe(100)
    expect(place.asked()).toEqual([])
    expect(readdirSync(place.outcomes)).toHaveLength(2)
  })

  test('that nobody runs are a problem after the time, and are not asked for twice', async () => {
    place.starts = false
    const hooks = place.open([hook('all')])
    await hooks.prepare({ current: 0, next: 1, names: ['a'] })
    const message =
      'Cannot run all after a change: the service runtime-agent-hooks has not run it yet'
    expect(await hooks.run(1, signal)).toMatchObject([{ code: 'hook_failed', message }])
    expect(place.slept).toBe(2000)
    // From then on one look a pass: a target must not wait for nobody again and again.
    expect(codesOf(await hooks.run(1, signal))).toEqual(['hook_failed'])
    expect(place.slept).toBe(2000)
    const [request, ...more] = place.asked()
    expect(more).toEqual([])
    expect(readFileSync(join(place.requests, request!), 'utf8')).not.toContain('all')
    await place.help(signal)
    expect(await hooks.run(1, signal)).toEqual([])
    expect(place.commands.ran).toEqual([['all', 'a']])
  })

  test('that wait when another change comes run once for both', async () => {
    place.starts = false
    const hooks = place.open([hook('all')])
    await hooks.prepare({ current: 0, next: 1, names: ['a'] })
    await hooks.run(1, signal)
    await hooks.prepare({ current: 1, next: 2, names: ['b'] })
    place.starts = true
    expect(await hooks.run(2, signal)).toEqual([])
    expect(place.commands.ran).toEqual([['all', 'a b']])
  })

  test('that root does not know are refused at once, and run when agent.yaml is the same again', async () => {
    place.roots = [hook('other')]
    const hooks = place.open([hook('all')])
    await hooks.prepare({ current: 0, next: 1, names: ['a'] })
    const message =
      'Cannot run all after a change: the service runtime-agent-hooks refused it: its log says why'
    expect(await hooks.run(1, signal)).toMatchObject([{ code: 'hook_failed', message }])
    expect(place.log).toEqual(['refused: "files-1000.json": agent.yaml has no such command'])
    expect(place.commands.ran).toEqual([])
    place.roots = undefined
    expect(await hooks.run(1, signal)).toEqual([])
    expect(place.commands.ran).toEqual([['all', 'a']])
  })

  test('are not taken for done by the outcome of an earlier request, also with a clock that stands', async () => {
    const hooks = place.open([hook('all')])
    place.commands.answers = { all: { code: 1 } }
    await hooks.prepare({ current: 0, next: 1, names: ['a'] })
    place.clock.now = () => 5
    for (let pass = 0; pass < 3; pass += 1)
      expect(codesOf(await hooks.run(1, signal))).toEqual(['hook_failed'])
    expect(place.commands.ran).toHaveLength(3)
  })

  test('whose outcome cannot be told are not run, so that a full disk restarts nothing without end', async () => {
    rmSync(place.outcomes, { recursive: true })
    const hooks = place.open([hook('all')])
    await hooks.prepare({ current: 0, next: 1, names: ['a'] })
    expect(codesOf(await hooks.run(1, signal))).toEqual(['hook_failed'])
    expect(place.commands.ran).toEqual([])
    expect(place.asked()).toEqual([])
    mkdirSync(place.outcomes)
    expect(await hooks.run(1, signal)).toEqual([])
    expect(place.commands.ran).toHaveLength(1)
  })
})
