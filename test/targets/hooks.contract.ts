import { describe, expect, test } from 'bun:test'
import type { HookConfig } from '../../src/config/config.ts'
import type { Problem } from '../../src/model/problem.ts'
import type { CommandOptions, CommandResult } from '../../src/runtime/command.ts'
import type { Hooks } from '../../src/targets/hooks.ts'

/** Commands as they were run, with the bindings they were told; `answers` by command, else success. */
export class Commands {
  readonly ran: [string, string][] = []
  answers: Record<string, Partial<CommandResult> | undefined> = {}
  /** What to look at when a command runs. */
  look: () => void = () => undefined

  readonly run = (argv: readonly string[], { env }: CommandOptions): Promise<CommandResult> => {
    this.look()
    const [command = ''] = argv
    this.ran.push([command, env?.['RUNTIME_AGENT_CHANGED'] ?? ''])
    return Promise.resolve({ code: 0, output: '', ...this.answers[command] })
  }
}

export const hook = (command: string, bindings = ['*']): HookConfig => ({
  bindings,
  command: [command],
  timeout: 1000,
})

export type HooksPlace = {
  commands: Commands
  /** Called again it is the same place after a restart. */
  open(hooks: HookConfig[]): Hooks
  /** Puts what is no journal in place of the journal. */
  damage(text: string): void
  close(): void
}

const { signal } = new AbortController()

export const codesOf = (problems: Problem[]): string[] => problems.map(({ code }) => code)

/** What every implementation of {@link Hooks} keeps. */
export function hooksContract(name: string, openPlace: () => HooksPlace): void {
  const within = (work: (place: HooksPlace) => Promise<void>) => async (): Promise<void> => {
    const place = openPlace()
    try {
      await work(place)
    } finally {
      place.close()
    }
  }

  describe(`${name}: commands of onChange`, () => {
    test(
      'run once for a change that readers see, each for the bindings that it is for, in order',
      within(async ({ open, commands }) => {
        const hooks = open([hook('all'), hook('none', ['ucl-erp-*']), hook('a', ['ucl-a*'])])
        await hooks.prepare({ current: 0, next: 1, names: ['ucl-b', 'ucl-a'] })
        expect(await hooks.run(0, signal)).toEqual([])
        expect(commands.ran).toEqual([])
        expect(await hooks.run(1, signal)).toEqual([])
        expect(await hooks.run(1, signal)).toEqual([])
        expect(commands.ran).toEqual([
          ['all', 'ucl-a ucl-b'],
          ['a', 'ucl-a'],
        ])
      }),
    )

    test(
      'run once for several changes, and never for one that did not come',
      within(async ({ open, commands }) => {
        await open([hook('all')]).prepare({ current: 0, next: 1, names: ['a'] })
        await open([hook('all')]).prepare({ current: 1, next: 2, names: ['void'] })
        const hooks = open([hook('all')])
        await hooks.prepare({ current: 1, next: 2, names: ['b'] })
        expect(await hooks.run(2, signal)).toEqual([])
        expect(commands.ran).toEqual([['all', 'a b']])
      }),
    )

    test(
      'that fail are a problem each, and run again with all names, also after a restart; others do not',
      within(async ({ open, commands }) => {
        const both = [hook('bad'), hook('good')]
        const hooks = open(both)
        commands.answers = { bad: { code: 5, output: 'CANARY' } }
        await hooks.prepare({ current: 0, next: 1, names: ['a'] })
        const problems = await hooks.run(1, signal)
        expect(problems).toMatchObject([
          {
            code: 'hook_failed',
            message: 'Cannot run bad after a change: it ended with code 5',
            subject: 'bad',
          },
        ])
        expect(JSON.stringify(problems)).not.toContain('CANARY')
        expect(codesOf(await hooks.run(1, signal))).toEqual(['hook_failed'])
        const restarted = open(both)
        await restarted.prepare({ current: 1, next: 2, names: ['b'] })
        commands.answers = {}
        expect(await restarted.run(2, signal)).toEqual([])
        expect(await restarted.run(2, signal)).toEqual([])
        expect(commands.ran).toEqual([
          ['bad', 'a'],
          ['good', 'a'],
          ['bad', 'a'],
          ['bad', 'a b'],
          ['good', 'b'],
        ])
      }),
    )

    test.each([
      [{ code: 127 }, 'there is no such program'],
      [{ code: 137, killed: 'timeout' }, 'it was still running when its time was over'],
    ] as const)('say why they failed: %j', (answer, why) =>
      within(async ({ open, commands }) => {
        commands.answers = { bad: answer }
        const hooks = open([hook('bad')])
        await hooks.prepare({ current: 0, next: 1, names: ['a'] })
        const message = `Cannot run bad after a change: ${why}`
        expect(await hooks.run(1, signal)).toMatchObject([{ message }])
      })(),
    )

    test(
      'that are stopped because the agent stops run again and are no problem',
      within(async ({ open, commands }) => {
        const stop = new AbortController()
        const hooks = open([hook('all')])
        await hooks.prepare({ current: 0, next: 1, names: ['a'] })
        commands.answers = { all: { code: 137, killed: 'aborted' } }
        commands.look = () => stop.abort()
        expect(await hooks.run(1, stop.signal)).toEqual([])
        expect(commands.ran).toHaveLength(1)
        commands.answers = {}
        expect(await open([hook('all')]).run(1, signal)).toEqual([])
        expect(commands.ran).toHaveLength(2)
      }),
    )

    test(
      'that left agent.yaml are not run any more',
      within(async ({ open, commands }) => {
        await open([hook('old')]).prepare({ current: 0, next: 1, names: ['a'] })
        expect(await open([hook('new')]).run(1, signal)).toEqual([])
        expect(commands.ran).toEqual([])
      }),
    )

    test(
      'are told * when the names are too many for a variable',
      within(async ({ open, commands }) => {
        const hooks = open([hook('all')])
        const names = Array.from({ length: 3000 }, (_, i) => `ucl-${'x'.repeat(40)}-${i}`)
        await hooks.prepare({ current: 0, next: 1, names })
        expect(await hooks.run(1, signal)).toEqual([])
        expect(commands.ran).toEqual([['all', '*']])
      }),
    )

    test(
      'a damaged journal does not stop the agent',
      within(async ({ open, commands, damage }) => {
        for (const text of ['{', 'null', '{"version":1,"pending":[{}]}', '{"version":2}']) {
          damage(text)
          const hooks = open([hook('all')])
          await hooks.prepare({ current: 0, next: 1, names: ['a'] })
          expect(await hooks.run(1, signal)).toEqual([])
          expect(commands.ran.splice(0)).toEqual([['all', 'a']])
        }
      }),
    )
  })
}
