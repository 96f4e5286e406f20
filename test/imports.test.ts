import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { GLOBALS, HOMES, LAYERS, TYPES_ONLY, violations } from './imports.ts'
import { ROOT, filesBelow, parse } from './source.ts'

const found = (file: string, text: string) => violations(parse(file, text)).join('\n')

test('every file of src/ keeps the import rule', () => {
  expect(filesBelow('src').flatMap((file) => violations(parse(file)))).toEqual([])
})

test('every folder of src/ has a level, and every row of the rule has a reason', () => {
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  expect(folders.filter((name) => !(name in LAYERS))).toEqual([])
  const rows = [
    ...Object.values(LAYERS),
    ...Object.values(HOMES),
    ...Object.values(GLOBALS),
    ...TYPES_ONLY,
  ]
  expect(rows.filter(({ reason }) => reason.length < 5)).toEqual([])
})

test('every exception of the rule is in use', () => {
  const imported = new Set(filesBelow('src'))
  const stale = TYPES_ONLY.flatMap((rule) => Object.keys(rule.except)).filter(
    (file) => !imported.has(file),
  )
  expect(stale).toEqual([])
})

describe('the import rule finds', () => {
  const cases: [string, string, string, string][] = [
    [
      'an upward import',
      'src/model/a.ts',
      `import { x } from '../config/b.ts'`,
      'want a smaller number',
    ],
    [
      'an import between equals',
      'src/config/a.ts',
      `import { x } from '../runtime/b.ts'`,
      'config (1) imports runtime (1)',
    ],
    [
      'an upward import of a type',
      'src/model/a.ts',
      `import type { X } from '../cli/b.ts'`,
      'want a smaller number',
    ],
    [
      'an upward import()',
      'src/model/a.ts',
      `const x = await import('../cli/b.ts')`,
      'want a smaller number',
    ],
    [
      'an upward import("…").Type',
      'src/model/a.ts',
      `let x: import('../cli/b.ts').X`,
      'want a smaller number',
    ],
    [
      'an upward export … from',
      'src/model/a.ts',
      `export { x } from '../cli/b.ts'`,
      'want a smaller number',
    ],
    ['an import of main.ts', 'src/cli/a.ts', `import '../main.ts'`, 'want a smaller number'],
    [
      'an import of the dev plane by main.ts',
      'src/main.ts',
      `import { x } from './devplane/b.ts'`,
      'only cli does',
    ],
    [
      'a folder without a level',
      'src/extra/a.ts',
      `import { x } from '../model/b.ts'`,
      'without a row',
    ],
    [
      'an import from outside of src',
      'src/cli/a.ts',
      `import { x } from '../../test/b.ts'`,
      'not in src/',
    ],
    [
      'a client in agent',
      'src/agent/a.ts',
      `import { openDirector } from '../clients/director.ts'`,
      'more than types',
    ],
    [
      'a mixed import in agent',
      'src/agent/a.ts',
      `import { type A, b } from '../targets/files.ts'`,
      'more than types',
    ],
    [
      'a package away from home',
      'src/agent/a.ts',
      `import { Hono } from 'hono'`,
      'whose home is web',
    ],
    [
      'a subpath away from home',
      'src/agent/a.ts',
      `import { html } from 'hono/html'`,
      'whose home is web',
    ],
    [
      'a scoped package away from home',
      'src/server/a.ts',
      `import { x } from '@valibot/to-json-schema/x'`,
      'whose home is config',
    ],
    [
      'x509 beside its file',
      'src/identity/a.ts',
      `import * as x from '@peculiar/x509'`,
      'identity/x509.ts',
    ],
    ['a package without a home', 'src/cli/a.ts', `import x from 'left-pad'`, 'no row in HOMES'],
    ['a bare builtin', 'src/runtime/a.ts', `import fs from 'fs'`, 'no row in HOMES'],
    [
      'node: outside of runtime',
      'src/cli/a.ts',
      `import { join } from 'node:path'`,
      'whose home is runtime',
    ],
    [
      'bun: outside of runtime',
      'src/cli/a.ts',
      `import { dlopen } from 'bun:ffi'`,
      'whose home is runtime',
    ],
    ['process', 'src/agent/a.ts', `const x = process.env`, 'uses process'],
    ['globalThis.Bun', 'src/agent/a.ts', `const x = globalThis.Bun`, 'uses Bun'],
    ['typeof Deno', 'src/agent/a.ts', `const x = typeof Deno`, 'uses Deno'],
    [
      'a wait',
      'src/targets/a.ts',
      `await new Promise((done) => setTimeout(done, 5))`,
      'uses setTimeout',
    ],
    ['a barrel', 'src/agent/index.ts', `export const x = 1`, 'no barrels'],
  ]
  test.each(cases)('%s', (_what, file, text, message) => {
    expect(found(file, text)).toContain(message)
  })
})

describe('the import rule allows', () => {
  const cases: [string, string, string][] = [
    ['an import from the own folder', 'src/agent/a.ts', `import { x } from './b.ts'`],
    ['a downward import', 'src/agent/a.ts', `import { x } from '../model/b.ts'`],
    [
      'a client in agent as a type',
      'src/agent/a.ts',
      `import type { X } from '../clients/director.ts'`,
    ],
    [
      'a client in agent as types only',
      'src/agent/a.ts',
      `import { type X } from '../clients/director.ts'`,
    ],
    ['a pure exception', 'src/agent/a.ts', `import { parseToken } from '../clients/token.ts'`],
    ['the dev plane in cli', 'src/cli/dev.ts', `import { openPlane } from '../devplane/plane.ts'`],
    ['a package at home', 'src/server/a.ts', `import { html } from 'hono/html'`],
    [
      'createHash in model/digest.ts',
      'src/model/digest.ts',
      `import { createHash } from 'node:crypto'`,
    ],
    ['a member that is called process', 'src/agent/a.ts', `const x = { process: 1 }; x.process`],
    ['process in runtime', 'src/runtime/a.ts', `const x = process.env`],
  ]
  test.each(cases)('%s', (_what, file, text) => {
    expect(found(file, text)).toBe('')
  })
})
