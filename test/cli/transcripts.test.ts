import { beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { ensureExecutable, executable, onExecutable, SLOW } from '../e2e/support/program.ts'
import { openScene } from './scene.ts'
import { fits, parseTranscript } from './transcript.ts'
import type { Step } from './transcript.ts'

type Command = Extract<Step, { kind: 'command' }>

const folder = fileURLToPath(new URL('.', import.meta.url))
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'))

/** Writes what the program prints in place of what did not fit. Read it line by line before it is committed. */
const update = process.env['UPDATE_TRANSCRIPTS'] !== undefined

beforeAll(() => ensureExecutable(), SLOW)

onExecutable.concurrent.each(files)(
  'the program answers as in %s',
  async (name) => {
    const path = join(folder, name)
    const text = readFileSync(path, 'utf8')
    const wrong = await play(text)
    if (update) {
      const lines = text.split('\n')
      for (const { step, actual } of wrong.reverse())
        lines.splice(step.from, step.to - step.from, ...actual.split('\n'))
      writeFileSync(path, lines.join('\n'))
      return
    }
    const shown = wrong.map(({ step, actual }) => `${name}:${step.from}: $ ${step.line}\n${actual}`)
    expect(shown.join('\n\n')).toBe('')
  },
  SLOW,
)

/** Types it all, and gives what was answered otherwise. */
async function play(text: string): Promise<{ step: Command; actual: string }[]> {
  const scene = openScene()
  const wrong: { step: Command; actual: string }[] = []
  try {
    for (const step of parseTranscript(text)) {
      if (step.kind === 'file') {
        scene.file(step.name, step.content)
        continue
      }
      const actual = await scene.type(step.line)
      if (!fits(step.expected, actual)) wrong.push({ step, actual })
    }
  } finally {
    await scene.close()
  }
  return wrong
}

describe('help', () => {
  const help = readFileSync(join(folder, 'help.txt'), 'utf8')
  const commands = (): string[] => {
    const { stdout } = Bun.spawnSync([executable(), '--help'])
    const listed = stdout.toString().split('Commands:\n')[1]?.split('\n\n')[0] ?? ''
    return [...listed.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name!)
  }

  onExecutable('is transcribed for every command, each with an example', () => {
    expect(commands().length).toBeGreaterThan(10)
    const steps = parseTranscript(help).filter((step) => step.kind === 'command')
    for (const name of commands()) {
      const step = steps.find(({ line }) => line === `agent ${name} --help`)
      expect(step?.expected, name).toMatch(/\nExample:\n {2}agent /)
      const same = steps.find(({ line }) => line === `agent help ${name}`)
      if (same !== undefined) expect(same.expected).toBe(step!.expected)
    }
  })
})

describe('a transcript', () => {
  test('fits with its placeholders, and not without the rest', () => {
    expect(fits('a <number> c', 'a 12 c')).toBe(true)
    expect(fits('a <number> c', 'a 12 d')).toBe(false)
    expect(fits('one\n<…>\nfour', 'one\ntwo\nthree\nfour')).toBe(true)
    expect(fits('one', 'one\n[exit 1]')).toBe(false)
  })
})
