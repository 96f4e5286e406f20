import { describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { packageJson } from '../scripts/repository.ts'
import { PROBLEMS } from '../src/model/problem.ts'
import {
  agentCommandsIn,
  anchorsIn,
  codeIn,
  documents,
  linksIn,
  npmScriptsIn,
  read,
  tableRows,
} from './docs.ts'
import { ROOT } from './source.ts'

const readme = read('README.md')
const architecture = read('ARCHITECTURE.md')
const { scripts, dependencies, devDependencies } = packageJson()

describe('ARCHITECTURE.md', () => {
  test('names every folder of src/', () => {
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `src/${entry.name}/`)
    expect(folders.filter((folder) => !architecture.includes(`\`${folder}\``))).toEqual([])
  })

  test('gives every package its version, its licence and a reason', () => {
    const rows = tableRows(architecture, 'package', 'version', 'size', 'licence', 'why')
    const asked = { ...dependencies, ...devDependencies }
    expect(Object.fromEntries(rows.map(([name, version]) => [name, version]))).toEqual(asked)
    expect(rows.filter(([, , , , why = '']) => why.length < 10)).toEqual([])
    const licences = rows.map(([name = '', , , licence]) => [name, licence])
    const found = rows.map(([name = '']) => {
      const { license } = JSON.parse(read(`node_modules/${name}/package.json`))
      // npm's way to say that it is none of the usual ones; the text begins with its title.
      const own = license === 'SEE LICENSE IN LICENSE'
      return [name, own ? 'SAP Developer Licence' : license]
    })
    expect(licences).toEqual(found)
  })
})

describe('the documents', () => {
  test('link to what exists', () => {
    const broken = documents().flatMap((file) =>
      linksIn(read(file))
        .filter((link) => !resolves(file, link))
        .map((link) => `${file}: ${link}`),
    )
    expect(broken).toEqual([])
  })

  test('name files of the repository that exist', () => {
    const named = documents().flatMap((file) =>
      codeIn(read(file))
        .flatMap(
          (code) => code.match(/(?<![\w/.-])(?:src|scripts|test|deploy|docs)\/[\w./-]+/g) ?? [],
        )
        .filter((path) => !existsSync(join(ROOT, path.replace(/\.$/, ''))))
        .map((path) => `${file}: ${path}`),
    )
    expect(named).toEqual([])
  })

  test('call only npm scripts that exist, and README or CONTRIBUTING tells of every one', () => {
    const called = documents().flatMap((file) => npmScriptsIn(read(file)))
    expect([...new Set(called)].filter((name) => !(name in scripts))).toEqual([])
    const told = new Set([readme, read('CONTRIBUTING.md')].flatMap(npmScriptsIn))
    expect(Object.keys(scripts).filter((name) => !told.has(name))).toEqual([])
  })

  test('print only commands of the agent that exist, and README tells of every one', () => {
    const commands = commandsOfAgent()
    const printed = documents().flatMap((file) =>
      agentCommandsIn(read(file)).map((command) => `${file}: agent ${command}`),
    )
    expect(printed.filter((one) => !commands.includes(one.split(' ').at(-1)!))).toEqual([])
    const told = tableRows(readme, 'command', 'what it does').map(([cell = '']) => cell)
    const missing = commands.filter(
      (name) => !told.some((cell) => new RegExp(`\\b${name}\\b`).test(cell)),
    )
    expect(missing).toEqual([])
  })

  test('name only problem codes that exist', () => {
    const named = tableRows(readme, 'code', 'do').flatMap(([cell = '']) => cell.split(', '))
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter((code) => !(code in PROBLEMS))).toEqual([])
  })

  test('are the first thing that a person needs: two commands on the first screen', () => {
    const firstScreen = readme.split('\n').slice(0, 24).join('\n')
    expect(npmScriptsIn(firstScreen)).toEqual(expect.arrayContaining(['start', 'test']))
  })
})

test('no file of the repository names a package registry or the path of this clone', () => {
  const listed = spawnSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' })
  const files = listed.status === 0 ? listed.stdout.split('\0').filter(Boolean) : documents()
  const found = files.filter((file) => {
    if (!existsSync(join(ROOT, file))) return false
    const text = readFileSync(join(ROOT, file), 'utf8')
    return text.includes(ROOT) || /registry\.(npmjs|yarnpkg)\./.test(text)
  })
  // This file says what it looks for.
  expect(found.filter((file) => file !== 'test/docs.test.ts')).toEqual([])
})

describe('the reader of documents', () => {
  const sample = [
    '# A `b` c!',
    '[x](a.md#b) `[no](code.md)` [y](https://example.com)',
    '```',
    'npm run build -- --all   # beside an agent running',
    './agent status --json',
    '```',
    'Say `npm test`, `agent plan` and `agent.yaml`, but npm run nothing.',
    '| a | b |',
    '|---|---|',
    '| `x` | y |',
  ].join('\n')

  test('finds links, anchors, scripts, commands and rows, and does not take prose for code', () => {
    expect(linksIn(sample)).toEqual(['a.md#b'])
    expect(anchorsIn(sample)).toEqual(['a-b-c'])
    expect(npmScriptsIn(sample)).toEqual(['build', 'test'])
    expect(agentCommandsIn(sample)).toEqual(['status', 'plan'])
    expect(tableRows(sample, 'a', 'b')).toEqual([['x', 'y']])
  })
})

function resolves(file: string, link: string): boolean {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)))
  if (!existsSync(join(ROOT, target))) return false
  return anchor === undefined || anchorsIn(read(target)).includes(anchor)
}

/** What `agent --help` lists. */
function commandsOfAgent(): string[] {
  const help = spawnSync(process.execPath, ['src/main.ts', '--help'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  const listed = help.stdout.split('Commands:')[1] ?? ''
  return [...listed.matchAll(/^ {2}([a-z][a-z-]*)/gm)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'help')
}
