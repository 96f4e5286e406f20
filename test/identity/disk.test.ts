import { afterAll, describe, expect, test } from 'bun:test'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDiskStore } from '../../src/identity/disk.ts'
import type { Identity } from '../../src/model/identity.ts'
import { keyA, keyB, keyC, makeIdentity, NOW } from './fixtures.ts'
import { INTENT, revealed, SIGNING, storeContract } from './store.contract.ts'

const places: string[] = []
const place = (): string => {
  const made = fs.mkdtempSync(join(tmpdir(), 'agent-identity-'))
  places.push(made)
  return made
}
afterAll(() => {
  for (const made of places) fs.rmSync(made, { recursive: true, force: true })
})

storeContract('disk', () => {
  const directory = place()
  return Promise.resolve({
    store: openDiskStore({ directory }),
    reopen: () => openDiskStore({ directory }),
  })
})

const [first, second, third] = await Promise.all([
  makeIdentity({ key: keyA }),
  makeIdentity({ key: keyB }),
  makeIdentity({ key: keyC }),
])

/** A store with these identities promoted in turn. */
async function filled(...identities: Identity[]) {
  const directory = place()
  const store = openDiskStore({ directory, now: () => NOW })
  for (const identity of identities) await store.promote(identity)
  const path = (...names: string[]): string => join(directory, 'identity', ...names)
  return { store, path, names: () => fs.readdirSync(path()).sort() }
}

/** All that lies below a directory: name, mode, content. */
function tree(path: string): string[] {
  return fs
    .readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const stat = fs.lstatSync(join(path, name))
      const content = stat.isFile() ? fs.readFileSync(join(path, name), 'hex') : ''
      return `${name} ${stat.mode.toString(8)} ${stat.mtimeMs} ${content}`
    })
}

describe('generations', () => {
  test('are private, numbered upwards, and two of them stay', async () => {
    const { path, names } = await filled(first, second, third)
    expect(names()).toEqual(['current', 'gen-000002', 'gen-000003'])
    expect(fs.readlinkSync(path('current'))).toBe('gen-000003')
    const mode = (...name: string[]): string =>
      (fs.statSync(path(...name)).mode & 0o7777).toString(8)
    expect([mode(), mode('gen-000003')]).toEqual(['700', '700'])
    for (const name of ['key.pem', 'chain.pem', 'meta.json']) {
      expect(mode('gen-000003', name)).toBe('600')
    }
    expect(JSON.parse(fs.readFileSync(path('gen-000003', 'meta.json'), 'utf8'))).toMatchObject({
      version: 1,
      fingerprint: third.fingerprint,
      runtimeId: 'runtime-1',
      written: '2026-11-21T12:00:00Z',
    })
  })

  test('are never numbered twice, also when newer ones were never switched to', async () => {
    const { store, path, names } = await filled(first)
    fs.cpSync(path('gen-000001'), path('gen-000007'), { recursive: true })
    fs.mkdirSync(path('gen-000009.new'))
    await store.promote(second)
    expect(fs.readlinkSync(path('current'))).toBe('gen-000010')
    expect(names()).toEqual(['current', 'gen-000001', 'gen-000010'])
  })

  test('that are private stay private under any umask', async () => {
    const before = process.umask(0)
    try {
      const { store, path } = await filled(first)
      await store.savePending(SIGNING)
      expect(fs.statSync(path()).mode & 0o777).toBe(0o700)
      expect(fs.statSync(path('gen-000001', 'key.pem')).mode & 0o777).toBe(0o600)
      expect(fs.statSync(path('enrolment.json')).mode & 0o777).toBe(0o600)
    } finally {
      process.umask(before)
    }
  })
})

const DAMAGE: [string, (path: (...names: string[]) => string) => void][] = [
  ['its key is missing', (path) => fs.rmSync(path('gen-000002', 'key.pem'))],
  ['its key is empty', (path) => fs.writeFileSync(path('gen-000002', 'key.pem'), '')],
  ['its key is cut', (path) => fs.truncateSync(path('gen-000002', 'key.pem'), 500)],
  [
    'its key is of the one before',
    (path) => fs.copyFileSync(path('gen-000001', 'key.pem'), path('gen-000002', 'key.pem')),
  ],
  ['its chain is missing', (path) => fs.rmSync(path('gen-000002', 'chain.pem'))],
  [
    'its chain is full of zeros',
    (path) => fs.writeFileSync(path('gen-000002', 'chain.pem'), new Uint8Array(3000)),
  ],
  [
    'its chain is garbage in PEM',
    (path) =>
      fs.writeFileSync(
        path('gen-000002', 'chain.pem'),
        '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      ),
  ],
  [
    'its chain is 10 MB',
    (path) => fs.writeFileSync(path('gen-000002', 'chain.pem'), 'x'.repeat(10_000_000)),
  ],
  [
    'key and chain are both of the one before',
    (path) => {
      for (const name of ['key.pem', 'chain.pem']) {
        fs.copyFileSync(path('gen-000001', name), path('gen-000002', name))
      }
    },
  ],
  ['its facts are missing', (path) => fs.rmSync(path('gen-000002', 'meta.json'))],
  ['its facts are cut', (path) => fs.truncateSync(path('gen-000002', 'meta.json'), 40)],
  [
    'its facts lack the address of the Director',
    (path) =>
      fs.writeFileSync(
        path('gen-000002', 'meta.json'),
        JSON.stringify({ fingerprint: second.fingerprint, runtimeId: 'r', plane: {} }),
      ),
  ],
  [
    'its key is a directory',
    (path) => {
      fs.rmSync(path('gen-000002', 'key.pem'))
      fs.mkdirSync(path('gen-000002', 'key.pem'))
    },
  ],
  [
    'its key is a symlink',
    (path) => {
      fs.rmSync(path('gen-000002', 'key.pem'))
      fs.symlinkSync('../gen-000001/key.pem', path('gen-000002', 'key.pem'))
    },
  ],
  ['it is gone', (path) => fs.rmSync(path('gen-000002'), { recursive: true })],
  [
    'current is gone and its chain too',
    (path) => {
      fs.rmSync(path('current'))
      fs.rmSync(path('gen-000002', 'chain.pem'))
    },
  ],
  [
    'current leads elsewhere and its key is gone',
    (path) => {
      fs.rmSync(path('current'))
      fs.symlinkSync('/etc', path('current'))
      fs.rmSync(path('gen-000002', 'key.pem'))
    },
  ],
]

describe('when the newest generation cannot be used', () => {
  test.each(DAMAGE)(
    'because %s, the one before is used, with a problem that says so',
    async (_, damage) => {
      const { store, path } = await filled(first, second)
      damage(path)
      const before = tree(path())
      const loaded = await store.load()
      expect(loaded?.identity.fingerprint).toBe(first.fingerprint)
      expect(loaded?.fallback).toMatchObject({ code: 'identity_unreadable' })
      expect(loaded?.fallback?.message).toMatch(/gen-000001 is used instead$/)
      expect(loaded?.fallback?.message).not.toContain('PRIVATE')
      expect(tree(path())).toEqual(before)
    },
  )

  test.each(DAMAGE)(
    'because %s, the next one heals it and the usable one is kept',
    async (_, damage) => {
      const { store, path } = await filled(first, second)
      damage(path)
      await store.check()
      await store.promote(third)
      expect(revealed(await store.load())).toEqual(revealed({ identity: third }))
      fs.rmSync(path('gen-000003', 'key.pem'))
      expect((await store.load())?.identity.fingerprint).toBe(first.fingerprint)
    },
  )

  test('and there is none before, the store says what to do and deletes nothing', async () => {
    const { store, path } = await filled(first)
    fs.truncateSync(path('gen-000001', 'key.pem'), 100)
    const before = tree(path())
    expect(store.load()).rejects.toMatchObject({
      code: 'identity_unreadable',
      message: expect.stringMatching(/^Cannot read the identity in .*gen-000001: Cannot use/),
    })
    expect(tree(path())).toEqual(before)
  })

  test('because only the symlink is gone, the newest one is used, with a problem', async () => {
    const { store, path } = await filled(first, second)
    fs.rmSync(path('current'))
    const loaded = await store.load()
    expect(loaded?.identity.fingerprint).toBe(second.fingerprint)
    expect(loaded?.fallback?.message).toContain('current is missing')
  })
})

describe('what is not ours', () => {
  test('stays, whatever is done beside it', async () => {
    const { store, path } = await filled(first)
    fs.writeFileSync(path('README'), 'mine')
    fs.mkdirSync(path('gen-000002.bak'))
    fs.writeFileSync(path('gen-000001', 'notes'), 'mine too')
    for (const identity of [second, third]) await store.promote(identity)
    expect(fs.readFileSync(path('README'), 'utf8')).toBe('mine')
    expect(fs.existsSync(path('gen-000002.bak'))).toBe(true)
    expect(fs.readFileSync(path('gen-000001', 'notes'), 'utf8')).toBe('mine too')
  })

  test('in the place of the symlink is named before a token is spent, and stays', async () => {
    const { store, path } = await filled(first)
    fs.rmSync(path('current'))
    fs.mkdirSync(path('current'))
    fs.writeFileSync(path('current', 'x'), 'x')
    for (const act of [() => store.check(), () => store.promote(second)]) {
      expect(act()).rejects.toMatchObject({
        code: 'identity_unreadable',
        hint: expect.stringContaining('move'),
      })
    }
    expect((await store.load())?.identity.fingerprint).toBe(first.fingerprint)
    expect(fs.readFileSync(path('current', 'x'), 'utf8')).toBe('x')
  })

  test('in the place of the directory is named', () => {
    const directory = place()
    fs.writeFileSync(join(directory, 'identity'), 'mine')
    const store = openDiskStore({ directory })
    expect(store.check()).rejects.toMatchObject({ code: 'disk_failed' })
    expect(fs.readFileSync(join(directory, 'identity'), 'utf8')).toBe('mine')
  })
})

describe('a damaged journal', () => {
  const bad: [string, string][] = [
    ['cut', '{"version":1,"stage":"sign'],
    ['empty', ''],
    ['of a later version', '{"version":2}'],
    ['without its token', '{"version":1,"stage":"intent","kind":"enrol"}'],
    [
      'with text for numbers',
      JSON.stringify({
        version: 1,
        ...INTENT,
        token: { digest: 'a', firstSeen: 1, until: 2, attempts: ['x'] },
      }),
    ],
    ['of an unknown stage', '{"version":1,"stage":"done","kind":"enrol"}'],
  ]
  test.each(bad)(
    'that is %s is named, and laid aside when the next one is written',
    async (_, text) => {
      const { store, path } = await filled(first)
      fs.writeFileSync(path('enrolment.json'), text)
      expect(store.loadPending()).rejects.toMatchObject({ code: 'identity_unreadable' })
      await store.savePending(INTENT)
      expect(revealed(await store.loadPending())).toEqual(revealed(INTENT))
      expect(fs.readFileSync(path('enrolment.json.damaged'), 'utf8')).toBe(text)
    },
  )

  test('is named without a piece of what it holds', async () => {
    const { store, path } = await filled()
    fs.mkdirSync(path())
    fs.writeFileSync(path('enrolment.json'), '{"signingToken": canary-4711')
    const error: unknown = await store.loadPending().catch((thrown: unknown) => thrown)
    expect(String(error)).not.toContain('canary')
  })
})

describe('the check', () => {
  test('leaves nothing behind and cleans what a killed process left', async () => {
    const { store, path, names } = await filled(first)
    fs.writeFileSync(path('.enrolment.json.0123456789ab.tmp'), 'left')
    fs.symlinkSync('gen-000009', path('.current.0123456789ab.tmp'))
    fs.mkdirSync(path('gen-000009.new'))
    fs.writeFileSync(path('gen-000009.new', 'key.pem'), 'left')
    await store.check()
    expect(names()).toEqual(['current', 'gen-000001'])
  })

  test('makes the directory private again', async () => {
    const { store, path } = await filled(first)
    fs.chmodSync(path(), 0o755)
    await store.check()
    expect(fs.statSync(path()).mode & 0o777).toBe(0o700)
  })

  test('fails where nothing can be written, and names the place', () => {
    const store = openDiskStore({ directory: '/proc/nowhere' })
    expect(store.check()).rejects.toMatchObject({
      code: 'disk_failed',
      message: expect.stringContaining('/proc/nowhere/identity'),
    })
  })
})
