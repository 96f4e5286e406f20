import { describe, expect, test } from 'bun:test'
import { EXCEPTIONS, deadExports } from './dead-exports.ts'
import { filesBelow, parse } from './source.ts'

const dead = (files: Record<string, string>) =>
  deadExports(Object.entries(files).map(([file, text]) => parse(file, text)))

test('every export of src/ is used in src/, or says that it is there for a test', () => {
  expect(deadExports(filesBelow('src').map((file) => parse(file)))).toEqual([])
})

test('every exception names a file that exists', () => {
  const files = new Set(filesBelow('src'))
  expect(Object.keys(EXCEPTIONS).filter((one) => !files.has(one.split('#')[0]!))).toEqual([])
})

describe('the search for dead exports finds', () => {
  test.each([
    ['a function', `export function x() {}`],
    ['an async function', `export async function x() {}`],
    ['a constant', `export const x = 1`],
    ['a class', `export class x {}`],
    ['a value that its own file uses', `export const x = 1; x`],
    ['a type that nobody mentions', `export type x = 1`],
    ['an interface that nobody mentions', `export interface x {}`],
    ['a name in an export list', `const x = 1; export { x }`],
    ['a re-export', `export { x } from './c.ts'`],
    ['what only a file of the same name elsewhere imports', `export const x = 1`],
  ])('%s', (_what, text) => {
    const files = {
      'src/a/b.ts': text,
      'src/b.ts': '',
      'src/d.ts': `import { x } from './b.ts'; x`,
    }
    expect(dead(files)).toEqual([expect.stringContaining(`nothing in src/ uses 'x'`)])
  })
})

describe('the search for dead exports lets pass', () => {
  test.each([
    ['a named import', `import { x } from './b.ts'`],
    ['a renamed import', `import { x as y } from './b.ts'`],
    ['a type import', `import type { x } from './b.ts'`],
    ['an import of all', `import * as all from './b.ts'`],
    ['an import()', `const { x } = await import('./b.ts')`],
    ['a re-export', `export { x as y } from './b.ts'; import { y } from './a.ts'`],
  ])('what is used by %s', (_what, text) => {
    const complaints = dead({ 'src/b.ts': `export const x = 1`, 'src/a.ts': text })
    expect(complaints.filter((one) => one.startsWith('src/b.ts'))).toEqual([])
  })

  test('what says that it is there for a test', () => {
    expect(
      dead({ 'src/b.ts': `/** @testing: the clock of the test */\nexport const x = 1` }),
    ).toEqual([])
  })

  test('a type that its own file mentions', () => {
    const text = `export type X = 1; export function f(): X { return 1 }`
    expect(dead({ 'src/b.ts': text, 'src/a.ts': `import { f } from './b.ts'` })).toEqual([])
  })
})
