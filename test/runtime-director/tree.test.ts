import { afterAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SECOND } from '../../src/model/time.ts'
import { readTree } from '../../src/runtime-director/tree.ts'
import { FakeClock } from '../fakes.ts'
import { failure } from '../runtime/failure.ts'
import { sampleFiles, startDirector } from './director.ts'

const base = mkdtempSync(join(tmpdir(), 'director-tree-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
let trees = 0

function tree(files: Record<string, string>, secrets: Record<string, number> = {}) {
  const root = join(base, String((trees += 1)))
  const [directory, secretsAt] = [join(root, 'desired'), join(root, 'secrets')]
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, path, '..'), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  mkdirSync(directory, { recursive: true })
  mkdirSync(secretsAt)
  for (const [name, mode] of Object.entries(secrets)) {
    writeFileSync(join(secretsAt, name), ' the value\n')
    chmodSync(join(secretsAt, name), mode)
  }
  return { directory, secrets: secretsAt }
}

const why = async (at: ReturnType<typeof tree>): Promise<string> =>
  (await failure(readTree(at, new Map()))).message

describe('the desired state on the disk', () => {
  test('is read as ConfigMaps and Git have it: links within it, other files beside it', async () => {
    const at = tree(sampleFiles(['a']), { 'logging-password': 0o600 })
    mkdirSync(join(at.directory, '..data'))
    writeFileSync(join(at.directory, '..data', 'b.yaml'), 'id: b')
    symlinkSync('../..data/b.yaml', join(at.directory, 'runtimes', 'b.yaml'))
    for (const name of ['README.md', '.gitkeep', '.a.yaml.swp', 'x.yaml~'])
      writeFileSync(join(at.directory, 'runtimes', name), '}')
    const state = await readTree(at, new Map())
    expect(state.runtimes.map(({ id }) => id)).toEqual(['a', 'b'])
    expect(state.secrets).toEqual({ 'logging-password': 'the value' })
  })

  test('is not taken from where no volume is mounted, nor from outside', async () => {
    expect(await why(tree({}))).toContain('there is no directory runtimes in it')
    const at = tree({ 'runtimes/a.yaml': 'id: a' })
    writeFileSync(join(base, 'shadow'), 'root:hunter2')
    symlinkSync(join(base, 'shadow'), join(at.directory, 'runtimes', 'b.yaml'))
    const message = await why(at)
    expect(message).toContain('it leads out of the desired state')
    expect(message).not.toContain('hunter2')
  })

  test('is not taken when a file would be overlooked', async () => {
    expect(await why(tree({ 'runtimes/a.yml': 'id: a' }))).toContain(
      'want a name that ends in .yaml',
    )
    expect(
      await why(
        tree({
          'configurations/X y.yaml':
            'match: {all: true}\nresources: [{apiVersion: v1, kind: A, metadata: {name: a}}]',
          'runtimes/a.yaml': 'id: a',
        }),
      ),
    ).toContain('the file cannot have this name')
  })

  test('has no secret that others can read', async () => {
    const at = tree(sampleFiles(['a']), { 'logging-password': 0o644 })
    expect(await why(at)).toContain('other users can read it, want mode 0600')
    expect(await why(tree(sampleFiles(['a'])))).toContain('there is no secret "logging-password"')
  })
})

test('what is watched is published when it has settled, told once when it is wrong, and never leaves anybody with nothing', async () => {
  const secrets = { 'logging-password': 'x' }
  const clock = new FakeClock(Date.now())
  const one = await startDirector({ clock, files: sampleFiles(['a']), secrets, watch: true })
  const newest = () => one.server.live.layers()[0]?.view.number
  const until = async (isSo: () => boolean): Promise<void> => {
    const end = Date.now() + 25_000
    while (!isSo() && Date.now() < end) {
      await clock.advance(5 * SECOND)
      await Bun.sleep(30)
    }
    expect(isSo()).toBe(true)
  }
  await until(() => newest() === 1)
  one.write({ 'runtimes/b.yaml': 'id: c' })
  await until(() => one.log.join('').includes('runtimes/b.yaml:1:5'))
  one.write({
    'runtimes/b.yaml': 'id: b\n',
    'configurations/logging.yaml': sampleFiles([], 'https://two')[
      'configurations/logging.yaml'
    ]!.replace('groups: [all]', 'runtimes: [b]'),
  })
  await until(() => one.log.join('').includes('would have nothing left, such as a'))
  expect(newest()).toBe(1)
  expect(one.log.filter((line) => line.includes('runtimes/b.yaml:1:5'))).toHaveLength(1)
  await one.stop()
}, 60_000)
