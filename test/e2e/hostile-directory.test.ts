import { afterAll, beforeAll, expect } from 'bun:test'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inStep, openHome, temporaryDirectory } from './support/agent-home.ts'
import type { AgentHome } from './support/agent-home.ts'
import { landscapeFor } from './support/landscape.ts'
import { startPlane } from './support/plane-process.ts'
import type { PlaneProcess } from './support/plane-process.ts'
import { ensureExecutable, executable, onExecutable as run, SLOW } from './support/program.ts'

let plane: PlaneProcess

beforeAll(async () => {
  await ensureExecutable()
  plane = await startPlane({
    directory: temporaryDirectory(),
    landscape: landscapeFor(['one', 'two']),
  })
}, SLOW)

afterAll(() => plane.close())

/** Everything that a JavaScript runtime may pick up from where it is started. Each would leave a file `taken`. */
function lay(directory: string): void {
  const write = (path: string, text: string): void => {
    mkdirSync(join(directory, path, '..'), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  const mark = (by: string): string =>
    `require('node:fs').appendFileSync(${JSON.stringify(join(directory, 'taken'))}, '${by}\\n')\n`
  const settings =
    'HOSTILE=1\nHTTPS_PROXY=http://127.0.0.1:9\nHTTP_PROXY=http://127.0.0.1:9\nNODE_TLS_REJECT_UNAUTHORIZED=0\n'
  for (const name of ['.env', '.env.local', '.env.production', '.env.development'])
    write(name, settings)
  write(
    'bunfig.toml',
    'preload = ["./preload.cjs"]\n[test]\npreload = ["./preload.cjs"]\n[run]\nbun = true\n',
  )
  write('.bunfig.toml', 'preload = ["./preload.cjs"]\n')
  write('preload.cjs', mark('preload'))
  write(
    'package.json',
    '{"name":"hostile","type":"commonjs","imports":{"#*":"./preload.cjs"},"main":"preload.cjs"}',
  )
  write('tsconfig.json', '{"compilerOptions":{"paths":{"*":["./preload.cjs"]}}}')
  write('index.ts', mark('index'))
  for (const name of [
    'undici',
    'hono',
    'commander',
    '@peculiar/x509',
    'reflect-metadata',
    'node:fs',
    'bun:ffi',
    'fs',
  ]) {
    write(join('node_modules', name, 'package.json'), '{"main":"index.js"}')
    write(join('node_modules', name, 'index.js'), mark(`node_modules/${name}`))
  }
}

function hostileHome(): AgentHome {
  const home = openHome({ ca: plane.ca })
  lay(home.directory)
  return home
}

run(
  'an agent that is started in a hostile directory works, and has taken nothing from there',
  async () => {
    const home = hostileHome()
    home.giveToken(await plane.token('one'))
    const agent = home.start()
    await agent.until('it is in step', inStep)
    const environment = readFileSync(`/proc/${agent.pid}/environ`, 'utf8')
    expect(environment).not.toContain('HOSTILE')
    expect((await home.run('renew')).code).toBe(0)
    expect((await agent.stop()).how).toBe(0)
    home.configure({ connector: { token: { env: 'HOSTILE' }, ca: { file: plane.ca } } })
    expect((await home.run('check')).err).toContain('the variable HOSTILE is not set here')
    for (const command of ['version', 'schema', 'help']) await home.run(command)
    expect(existsSync(home.path('taken'))).toBe(false)
  },
  SLOW,
)

run('what lies there would be taken: plain Bun with the same files takes it', async () => {
  const home = hostileHome()
  writeFileSync(home.path('main.cjs'), '')
  await Bun.spawn([process.execPath, 'main.cjs'], { cwd: home.directory, env: {} }).exited
  expect(readFileSync(home.path('taken'), 'utf8')).toContain('preload\n')
})

run(
  'NODE_TLS_REJECT_UNAUTHORIZED=0 does not help a server that nobody vouches for',
  async () => {
    const home = openHome({})
    home.giveToken(await plane.token('two'))
    const before = (await plane.events()).length
    const agent = home.start({
      env: {
        NODE_TLS_REJECT_UNAUTHORIZED: '0',
      },
    })
    const status = await agent.until('it says so', ({ problems }) => problems.length > 0)
    expect(status.problems).toMatchObject([{ code: 'tls_untrusted', turn: 'operator' }])
    expect((await plane.events()).length).toBe(before)
    home.configure({ connector: { token: { file: 'token' }, ca: { file: plane.ca } } })
    expect((await agent.stop()).how).toBe(0)
    const trusting = home.start()
    // Nothing was sent to the one that nobody vouches for, so the token is still good.
    await trusting.until('it is in step', inStep)
    await trusting.stop()
  },
  SLOW,
)

run('the executable is one file that needs nothing beside it', async () => {
  const home = openHome({})
  const alone = home.path('alone')
  writeFileSync(alone, readFileSync(executable()), { mode: 0o755 })
  const child = Bun.spawn([alone, 'version'], { cwd: '/', env: {} })
  expect(await child.stdout.text()).toMatch(/^runtime-agent \d+\.\d+\.\d+\S* \(bun /)
})
