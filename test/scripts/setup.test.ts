import { afterAll, describe, expect } from 'bun:test'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bunPackage } from '../../scripts/platform.mjs'
import { ROOT } from '../../scripts/repository.ts'
import { skipUnless } from '../skip.ts'

const node = Bun.which('node')
const withNode = skipUnless(node !== null, {
  why: 'node is not in the PATH',
  how: 'run the tests as npm test',
})

const made: string[] = []
afterAll(() => {
  for (const directory of made) rmSync(directory, { recursive: true, force: true })
})

/** A repository that is set up already and whose `npm start` runs this script. */
function repository(script: string, lock = '{"packages":{}}'): string {
  const root = mkdtempSync(join(tmpdir(), 'setup-test-'))
  made.push(root)
  mkdirSync(join(root, 'scripts'))
  for (const file of ['setup.mjs', 'child.mjs', 'platform.mjs'])
    cpSync(join(ROOT, 'scripts', file), join(root, 'scripts', file))
  writeFileSync(join(root, 'scripts/start.ts'), script)
  writeFileSync(join(root, 'package.json'), '{"name":"x","version":"1.0.0","type":"module"}')
  writeFileSync(join(root, 'package-lock.json'), lock)
  mkdirSync(join(root, 'node_modules/bun/bin'), { recursive: true })
  symlinkSync(process.execPath, join(root, 'node_modules/bun/bin/bun.exe'))
  const hash = createHash('sha256').update(lock).digest('hex')
  writeFileSync(join(root, 'node_modules/.stamp'), `${hash} ${bunPackage()}\n`)
  return root
}

type Running = {
  child: ChildProcess
  ended: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>
  /** Resolves with what was printed up to and with this text. */
  prints(text: string): Promise<string>
}

function setup(root: string, args: string[], env: Record<string, string> = {}): Running {
  const child = spawn(node ?? 'node', [join(root, 'scripts/setup.mjs'), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  return {
    child,
    ended: new Promise((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    }),
    prints: (text) =>
      new Promise((resolve) => {
        const look = () => {
          if (stdout.includes(text)) resolve(stdout)
        }
        child.stdout.on('data', look)
        look()
      }),
  }
}

const WAITS = `
process.on('SIGINT', () => console.log('got SIGINT'))
process.on('SIGTERM', () => { console.log('got SIGTERM'); process.exit(3) })
setInterval(() => {}, 1000)
console.log('up')
`

describe('setup hands over to Bun', () => {
  withNode('with the arguments, and ends with the exit status of the script', async () => {
    const root = repository('console.log(process.argv.slice(2)); process.exit(7)')
    const { code, stdout } = await setup(root, ['start', '--a', 'b c']).ended
    expect({ code, stdout }).toEqual({ code: 7, stdout: '[ "--a", "b c" ]\n' })
  })

  withNode(
    'and passes signals on, waits, and ends with the exit status of the script',
    async () => {
      const running = setup(repository(WAITS), ['start'])
      await running.prints('up')
      running.child.kill('SIGINT')
      await running.prints('got SIGINT')
      // What follows within half a second counts as the same request, as npm doubles signals.
      await Bun.sleep(600)
      running.child.kill('SIGTERM')
      expect(await running.ended).toMatchObject({ code: 3, signal: null })
    },
  )

  withNode('and is killed by the signal that killed the script', async () => {
    const root = repository('process.kill(process.pid, "SIGKILL")')
    expect(await setup(root, ['start']).ended).toMatchObject({ code: null, signal: 'SIGKILL' })
  })

  withNode('and leaves no process behind when it is killed outright', async () => {
    const running = setup(repository(WAITS), ['start'])
    await running.prints('up')
    running.child.kill('SIGKILL')
    // It ends only when the pipes close, that is when the last process that holds them is gone.
    expect(await running.ended).toMatchObject({ signal: 'SIGKILL' })
  })
})

describe('setup says in one line', () => {
  const fails = async (root: string, args: string[], env?: Record<string, string>) => {
    const { code, stderr } = await setup(root, args, env).ended
    expect(code).toBe(1)
    return stderr
  }

  withNode('which verbs there are', async () => {
    expect(await fails(repository(''), ['fly'])).toBe(
      "Cannot run 'fly': want one of start, test, build, check, conformance, bench, soak, envtest, golden, release, image\n",
    )
  })

  withNode('that the lock file is missing', async () => {
    const root = repository('')
    rmSync(join(root, 'package-lock.json'))
    expect(await fails(root, ['start'])).toBe('Cannot set up: package-lock.json is missing\n')
  })

  withNode('that the registry cannot be reached', async () => {
    const pinned = {
      version: '1.0.0',
      resolved: 'http://127.0.0.1:9/a.tgz',
      integrity: 'sha512-AA',
    }
    const root = repository(
      '',
      JSON.stringify({
        name: 'x',
        version: '1.0.0',
        lockfileVersion: 3,
        packages: {
          '': { name: 'x', version: '1.0.0', dependencies: { a: '1.0.0' } },
          'node_modules/a': pinned,
        },
      }),
    )
    writeFileSync(
      join(root, 'package.json'),
      '{"name":"x","version":"1.0.0","dependencies":{"a":"1.0.0"}}',
    )
    rmSync(join(root, 'node_modules'), { recursive: true })
    const offline = {
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_fetch_retries: '0',
      npm_config_cache: join(root, 'cache'),
    }
    const stderr = await fails(root, ['start'], offline)
    expect(stderr).toContain(
      'Cannot install the packages: the package registry cannot be reached; check the network, or the proxy (npm config get https-proxy) (ECONNREFUSED)\n',
    )
    expect(stderr.split('\n')).toHaveLength(3)
  })
})
