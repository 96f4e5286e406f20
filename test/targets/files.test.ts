import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bindingName } from '../../src/model/names.ts'
import { DAY, HOUR } from '../../src/model/time.ts'
import { application, basic, bundle, desired, numbers, oauth, RUNTIME } from '../model/samples.ts'
import { skipUnless } from '../skip.ts'
import { Output, readBindings } from './output.ts'
import { pass, summary, targetContract } from './target.contract.ts'

targetContract('files', () => {
  const output = new Output()
  return {
    open: () => output.open(),
    writes: () => output.names.join(' '),
    damage: (_key, name) => writeFileSync(output.path('current/bindings', name, 'password'), 'x'),
    close: () => output.remove(),
  }
})

let output: Output
beforeEach(() => {
  output = new Output()
})
afterEach(() => output.remove())

const orders = bundle('b-1', { name: 'Orders' })
const customers = bundle('b-2', { name: 'Customers', auth: oauth() })
const crm = application('a-1', { name: 'mp-crm', bundles: [orders, customers] })
const want = desired([crm])
const ordersName = bindingName('mp-crm', orders)
const customersName = bindingName('mp-crm', customers)
const withPassword = (password: string) =>
  desired([
    application('a-1', {
      name: 'mp-crm',
      bundles: [{ ...orders, auth: basic('user', password) }, customers],
    }),
  ])

describe('the layout', () => {
  test('is one generation of plain directories behind `current`, with a manifest outside the bindings', async () => {
    await pass(output.open(), want)
    expect(output.names).toEqual(['.runtime-agent.json', 'current', 'gen-000001'])
    expect(readlinkSync(output.path('current'))).toBe('gen-000001')
    expect(readdirSync(output.path('current')).sort()).toEqual([
      'MANIFEST.json',
      'applications',
      'bindings',
      'env',
      'json',
    ])
    const entries = readdirSync(output.path('current/bindings'), { withFileTypes: true })
    expect(entries.every((entry) => entry.isDirectory())).toBe(true)
    expect(entries.map(({ name }) => name).sort()).toEqual([customersName, ordersName].sort())
  })

  test('has exact modes whatever the umask is', async () => {
    for (const mask of [0o000, 0o077]) {
      const before = process.umask(mask)
      try {
        await pass(output.open(), want)
      } finally {
        process.umask(before)
      }
      const mode = (...parts: string[]) => lstatSync(output.path(...parts)).mode & 0o7777
      for (const path of ['.', 'gen-000001', 'gen-000001/bindings', 'gen-000001/env'])
        expect([path, mode(path)]).toEqual([path, 0o2750])
      expect(mode('current/bindings', ordersName)).toBe(0o2750)
      expect(mode('current/bindings', ordersName, 'password')).toBe(0o640)
      expect(mode('current/env', `${ordersName}.env`)).toBe(0o600)
      expect(mode('current/json', `${ordersName}.json`)).toBe(0o640)
      expect(mode('current/MANIFEST.json')).toBe(0o640)
      output.remove()
      output = new Output()
    }
  })

  test('has the forms that were asked for and no others', async () => {
    const config = { env: false, json: false, compat: 'system-broker' } as const
    await pass(output.open({ config }), want)
    expect(readdirSync(output.path('current')).sort()).toEqual([
      'MANIFEST.json',
      'applications',
      'bindings',
    ])
    expect(existsSync(output.path('current/bindings', ordersName, 'system-broker.json'))).toBe(true)
    expect(summary(await pass(output.open(), want))).toEqual([
      'update binding/b-1',
      'update binding/b-2',
    ])
    expect(existsSync(output.path('current/bindings', ordersName, 'system-broker.json'))).toBe(
      false,
    )
  })

  test('lets programs outside the group pass through parents that it made, and no further', async () => {
    const directory = output.path('deeper/still')
    await pass(output.open({ config: { directory } }), want)
    expect(lstatSync(output.path('deeper')).mode & 0o777).toBe(0o711)
    expect(lstatSync(directory).mode & 0o7777).toBe(0o2750)
  })
})

describe('a rotation', () => {
  test('writes the files of one binding anew and links all others', async () => {
    const target = output.open()
    await pass(target, want)
    const inode = (...parts: string[]) => lstatSync(output.path(...parts)).ino
    await pass(target, withPassword('new'))
    const [one, two] = ['gen-000001', 'gen-000002']
    expect(inode(two, 'bindings', customersName, 'client-secret')).toBe(
      inode(one, 'bindings', customersName, 'client-secret'),
    )
    expect(inode(two, 'env', `${customersName}.env`)).toBe(
      inode(one, 'env', `${customersName}.env`),
    )
    expect(inode(two, 'bindings', ordersName, 'password')).not.toBe(
      inode(one, 'bindings', ordersName, 'password'),
    )
    const old = readBindings(output.path(one, 'bindings'))
    const next = readBindings(output.path(two, 'bindings'))
    expect(next[customersName]).toEqual(old[customersName])
    expect(next[ordersName]).toEqual({
      ...old[ordersName],
      password: 'new',
      'ucl-revision': '2',
    })
  })

  test('forth and back is a change of content again, so the revision goes on', async () => {
    const target = output.open()
    for (const password of ['one', 'two', 'one']) await pass(target, withPassword(password))
    const bindings = readBindings(output.path('current/bindings'))
    expect(bindings[ordersName]!['ucl-revision']).toBe('3')
    expect(bindings[customersName]!['ucl-revision']).toBe('1')
  })

  test('keeps the last five generations', async () => {
    const target = output.open()
    for (const n of numbers(8)) await pass(target, withPassword(`p${n}`))
    expect(output.generations).toEqual([4, 5, 6, 7, 8].map((n) => `gen-00000${n}`))
    expect(readBindings(output.path('gen-000004/bindings'))[ordersName]!['password']).toBe('p3')
  })

  test('never removes a generation that a manifest does not call ours', async () => {
    const target = output.open()
    await pass(target, want)
    mkdirSync(output.path('gen-000000'))
    writeFileSync(output.path('gen-000000/precious'), '')
    const foreign = readFileSync(output.path('current/MANIFEST.json'), 'utf8')
    mkdirSync(output.path('gen-0000000'))
    writeFileSync(
      output.path('gen-0000000/MANIFEST.json'),
      foreign.replace('"agent":"default"', '"agent":"other"'),
    )
    for (const n of numbers(8)) await pass(target, withPassword(`p${n}`))
    expect(existsSync(output.path('gen-000000/precious'))).toBe(true)
    expect(existsSync(output.path('gen-0000000/MANIFEST.json'))).toBe(true)
  })
})

describe('drift', () => {
  const password = () => output.path('current/bindings', ordersName, 'password')
  const cases: [string, () => void][] = [
    ['an edited value', () => writeFileSync(password(), 'edited')],
    ['a removed file', () => rmSync(password())],
    [
      'a removed binding',
      () => rmSync(output.path('current/bindings', ordersName), { recursive: true }),
    ],
    ['a wider mode', () => chmodSync(password(), 0o644)],
    ['a narrower directory', () => chmodSync(output.path('current/bindings', ordersName), 0o700)],
    [
      'another file beside',
      () => writeFileSync(output.path('current/bindings', ordersName, 'x'), ''),
    ],
    [
      'a symlink in place of a file',
      () => {
        renameSync(password(), output.path('elsewhere'))
        symlinkSync(output.path('elsewhere'), password())
      },
    ],
    [
      'a changed env file',
      () => writeFileSync(output.path('current/env', `${ordersName}.env`), ''),
    ],
    [
      'a wrong revision',
      () => writeFileSync(output.path('current/bindings', ordersName, 'ucl-revision'), '7'),
    ],
  ]

  test.each(cases)('%s is put right in the next pass', async (_what, damage) => {
    const target = output.open()
    await pass(target, want)
    const before = readBindings(output.path('current/bindings'))
    damage()
    expect(summary(await pass(target, want))).toEqual(['update binding/b-1'])
    expect(readBindings(output.path('current/bindings'))).toEqual(before)
    expect(summary(await pass(target, want))).toEqual([])
  })

  test('of the directories above puts everything right', async () => {
    const target = output.open()
    await pass(target, want)
    chmodSync(output.path('current/bindings'), 0o755)
    expect((await pass(target, want)).changes).toHaveLength(3)
    chmodSync(output.root, 0o755)
    expect((await pass(target, want)).changes).toHaveLength(3)
    expect(lstatSync(output.root).mode & 0o7777).toBe(0o2750)
    expect((await pass(target, want)).changes).toEqual([])
  })

  test('a `current` that was removed or bent is put right', async () => {
    const target = output.open()
    await pass(target, want)
    rmSync(output.path('current'))
    expect((await pass(target, want)).changes).toHaveLength(3)
    rmSync(output.path('current'))
    symlinkSync('/etc', output.path('current'))
    expect((await pass(output.open(), want)).changes).toHaveLength(3)
    expect(readlinkSync(output.path('current'))).toBe('gen-000003')
    expect((await pass(target, want)).changes).toEqual([])
  })

  test('a file that was only touched makes no generation', async () => {
    const target = output.open()
    await pass(target, want)
    utimesSync(password(), 1, 1)
    linkSync(password(), `${password()}.copy`)
    rmSync(password())
    renameSync(`${password()}.copy`, password())
    expect(summary(await pass(target, want))).toEqual([])
    expect(summary(await pass(output.open(), want))).toEqual([])
    expect(output.generations).toHaveLength(1)
  })

  test('that lstat cannot show is found within the hour, and at start', async () => {
    const target = output.open()
    await pass(target, want)
    const set = () => utimesSync(password(), 1000, 1000)
    set()
    expect(summary(await pass(target, want))).toEqual([])
    writeFileSync(password(), 'same')
    set()
    expect(summary(await pass(target, want))).toEqual([])
    output.now += HOUR
    expect(summary(await pass(target, want))).toEqual(['update binding/b-1'])
    set()
    await pass(target, want)
    writeFileSync(password(), 'same')
    set()
    // A clock that is set back by years must not put it off by years.
    output.now -= 3650 * DAY
    expect(summary(await pass(target, want))).toEqual(['update binding/b-1'])
    set()
    await pass(target, want)
    writeFileSync(password(), 'same')
    set()
    expect(summary(await pass(output.open(), want))).toEqual(['update binding/b-1'])
  })

  test('a repair keeps the revision, as it says nothing new', async () => {
    const target = output.open()
    await pass(target, want)
    rmSync(password())
    await pass(target, want)
    expect(readBindings(output.path('current/bindings'))[ordersName]!['ucl-revision']).toBe('1')
  })
})

describe('a source that cannot be rendered', () => {
  const unsupported = desired([
    application('a-1', {
      name: 'mp-crm',
      bundles: [
        { ...orders, auth: { credential: { type: 'unknown', typename: 'Future' } } },
        customers,
      ],
    }),
  ])

  test('keeps the binding that it has, and is named', async () => {
    const target = output.open()
    await pass(target, want)
    const before = readBindings(output.path('current/bindings'))
    const result = await pass(target, unsupported)
    expect(result.problems).toEqual(['credentials_unsupported'])
    expect(summary(result)).toEqual(['update application/a-1'])
    expect(readBindings(output.path('current/bindings'))).toEqual(before)
  })

  test('gets no binding while it has none', async () => {
    await pass(output.open(), unsupported)
    expect(readdirSync(output.path('current/bindings'))).toEqual([customersName])
  })

  test('is carried on when it has drifted: without a binding rather than without its type', async () => {
    const target = output.open()
    await pass(target, want)
    rmSync(output.path('current/bindings', ordersName, 'type'))
    await pass(target, unsupported)
    expect(readdirSync(output.path('current/bindings'))).toEqual([customersName])
    await pass(target, want)
    expect(readdirSync(output.path('current/bindings')).sort()).toEqual(
      [customersName, ordersName].sort(),
    )
  })

  test('keeps forms that are no longer asked for, and gets the right modes', async () => {
    await pass(output.open(), want)
    chmodSync(output.path('current/bindings', ordersName, 'password'), 0o644)
    await pass(output.open({ config: { json: false } }), unsupported)
    expect(readdirSync(output.path('current/json'))).toEqual([`${ordersName}.json`])
    expect(lstatSync(output.path('current/bindings', ordersName, 'password')).mode & 0o777).toBe(
      0o640,
    )
  })
})

test('what a killed process left is cleared away by the next one, even when nothing changes', async () => {
  await pass(output.open(), want)
  mkdirSync(output.path('.new-000002/bindings'), { recursive: true })
  mkdirSync(output.path('.old-000000'))
  symlinkSync('gen-000002', output.path('.current.0123456789ab.tmp'))
  writeFileSync(output.path('.a-file-of-somebody'), '')
  await pass(output.open(), want)
  expect(output.names).toEqual([
    '.a-file-of-somebody',
    '.runtime-agent.json',
    'current',
    'gen-000001',
  ])
})

test('two sources that want one name: the older keeps it, the other is named', async () => {
  const target = output.open()
  await pass(target, want)
  // The same first eight characters of SHA-256 cannot be had; an object of that name can.
  const observed = await target.observe(RUNTIME, new AbortController().signal)
  const objects = new Map(observed.objects)
  const held = objects.get('binding/b-1')!
  objects.delete('binding/b-1')
  objects.set('binding/older', { ...held, key: 'binding/older' })
  const { objects: rendered, problems } = target.render(want, { objects })
  expect([...rendered.keys()].sort()).toEqual(['application/a-1', 'binding/b-2'])
  expect(problems).toMatchObject([{ withheld: true, problem: { code: 'name_taken' } }])
})

skipUnless(process.getuid?.() === 0, {
  why: 'only root can give files to another group',
  how: 'run the tests as root',
})(
  'the group of the readers gets directories and files, and a changed group all of them',
  async () => {
    await pass(output.open({ config: { group: '12345' } }), want)
    const groups = () =>
      [
        '.',
        'current/',
        join('current/bindings', ordersName, 'password'),
        'current/MANIFEST.json',
      ].map((path) => lstatSync(output.path(path)).gid)
    expect(groups()).toEqual([12345, 12345, 12345, 12345])
    const changed = output.open({ config: { group: '12346' } })
    expect((await pass(changed, want)).changes).toHaveLength(3)
    expect(groups()).toEqual([12346, 12346, 12346, 12346])
    expect((await pass(changed, want)).changes).toEqual([])
  },
)
