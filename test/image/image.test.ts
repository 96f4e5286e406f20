/** The image, built by buildah and run by podman: docs/container.md, as printed there. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONTEXT, IMAGE, IMAGE_BAR, buildImage, collect } from '../../scripts/image.ts'
import { ROOT, packageJson } from '../../scripts/repository.ts'
import type { Status } from '../../src/model/status.ts'
import { temporaryDirectory } from '../e2e/support/agent-home.ts'
import { expectedFor, landscapeFor } from '../e2e/support/landscape.ts'
import type { PlaneProcess } from '../e2e/support/plane-process.ts'
import { startPlane } from '../e2e/support/plane-process.ts'
import { until } from '../e2e/support/program.ts'
import { needsKustomize, overlay } from '../deploy/overlays.ts'
import { SEALED, STORAGE, canRun, inContainers, podman, removeAll } from './containers.ts'
import type { Said } from './containers.ts'

setDefaultTimeout(120_000)

const CONFIG_FILE = ['--config', '/etc/runtime-agent/agent.yaml']
const TAG = `localhost/${IMAGE}:test`
const landscape = landscapeFor(['box'], 2)
let size = 0
let plane: PlaneProcess
let settings: string

if (canRun) {
  beforeAll(async () => {
    size = await collect()
    buildImage(TAG, STORAGE)
    const directory = temporaryDirectory()
    plane = await startPlane({ directory: join(directory, 'plane'), landscape })
    settings = join(directory, 'settings')
    mkdirSync(settings)
    chmodSync(directory, 0o755)
    copyFileSync(plane.ca, join(settings, 'ca.pem'))
    writeFileSync(join(settings, 'token'), await plane.token())
    writeFileSync(join(settings, 'agent.yaml'), JSON.stringify(CONFIG))
    for (const file of ['', 'ca.pem', 'token', 'agent.yaml']) chmodSync(join(settings, file), 0o755)
  }, 120_000)
  afterAll(async () => {
    removeAll()
    await plane.close()
  }, 60_000)
}

const CONFIG = {
  version: 1,
  connector: {
    token: { file: '/etc/runtime-agent/token' },
    ca: { file: '/etc/runtime-agent/ca.pem' },
  },
  director: { interval: '1s' },
  identity: { directory: '/var/lib/runtime-agent/state' },
  targets: [{ kind: 'files', directory: '/var/lib/runtime-agent/out' }],
  status: { listen: 'off' },
  log: { level: 'debug', format: 'json' },
}

/** Runs an agent with volumes of these names. */
function run(name: string, state: string, how: '--detach' | '--rm'): Said {
  const volumes = [`${state}:/var/lib/runtime-agent/state`, 'bindings:/var/lib/runtime-agent/out']
  const mounts = [...volumes, `${settings}:/etc/runtime-agent:ro`].flatMap((one) => ['-v', one])
  return podman('run', how, '--name', name, ...SEALED, ...mounts, TAG)
}

function start(name: string, state: string): void {
  const { code, err } = run(name, state, '--detach')
  if (code !== 0) throw new Error(`Cannot start ${name}: ${err}`)
}

function status(name: string): Status | undefined {
  const { code, out } = podman('exec', name, 'agent', 'status', '--json', ...CONFIG_FILE)
  return code === 0 ? (JSON.parse(out) as Status) : undefined
}

async function untilHealthy(name: string): Promise<void> {
  await until(`${name} is healthy`, () => podman('healthcheck', 'run', name).code === 0).catch(
    (thrown: unknown) => {
      throw new Error(`${String(thrown)}\n${podman('logs', name).err.slice(-3000)}`)
    },
  )
}

/** What the binding library of most programs reads, in a container of another user that has the volume only. */
function sidecar(): Record<string, { password?: string }> {
  const script = `const { readServices } = require('@sap/xsenv')
    const all = Object.values(readServices()).map(({ credentials: c }) => [c['ucl-bundle-id'], { password: c.password }])
    console.log(JSON.stringify(Object.fromEntries(all)))`
  const { out, err } = podman(
    ...['run', '--rm', '--user', '1000:65532', ...SEALED, '--workdir', '/program'],
    ...['-v', 'bindings:/bindings:ro', '-v', `${ROOT}/node_modules:/program/node_modules:ro`],
    ...['-v', `${process.execPath}:/program/bun:ro`],
    ...['-e', 'SERVICE_BINDING_ROOT=/bindings/current/bindings', '--no-healthcheck'],
    ...[TAG, '/program/bun', '-e', script],
  )
  if (out === '') throw new Error(err)
  return JSON.parse(out) as Record<string, { password?: string }>
}

function expected(): Record<string, { password?: string }> {
  const rows = Object.entries(expectedFor('box', landscape))
  return Object.fromEntries(
    rows.map(([id, { password }]) => [id, password === undefined ? {} : { password }]),
  )
}

describe('the image', () => {
  inContainers('is within its bar, has nobody but the agent, and no shell', () => {
    expect(size).toBeLessThanOrEqual(IMAGE_BAR)
    const [seen] = JSON.parse(podman('image', 'inspect', TAG).out) as [
      { Size: number; User: string; Config: { Entrypoint?: unknown; Cmd: string[] } },
    ]
    expect(seen.Size).toBeLessThanOrEqual(IMAGE_BAR)
    expect([seen.User, seen.Config.Entrypoint]).toEqual(['65532:65532', undefined])
    expect(podman('run', '--rm', ...SEALED, TAG, '/bin/sh').code).toBe(127)
    const kyma = podman('run', '--rm', ...SEALED, TAG, '/app/compass-runtime-agent', 'version')
    expect([kyma.code, kyma.out]).toEqual([0, expect.stringMatching(/^runtime-agent \d/)])
    const licences = join(CONTEXT, 'root/usr/share/doc/runtime-agent/LICENSES.txt')
    expect(readFileSync(licences, 'utf8')).toContain('Bun ')
  })

  inContainers(
    'connects, writes bindings that a sidecar reads, stops in time, and goes on from its volumes',
    async () => {
      start('agent', 'state')
      await untilHealthy('agent')
      await until(
        'bindings are there',
        () => status('agent')?.targets[0]?.lastSuccess !== undefined,
      )
      expect(sidecar()).toEqual(expected())
      const top = podman('exec', 'agent', ...['/usr/local/bin/agent', 'version', '--json'])
      expect(top.code).toBe(0)
      const before = status('agent')!.identity!.fingerprint
      expect(run('second', 'state', '--rm').code).toBe(4)

      const at = performance.now()
      expect(podman('stop', '--time', '10', 'agent').code).toBe(0)
      expect(performance.now() - at).toBeLessThan(5000)
      const ended = podman('inspect', '--format', '{{.State.ExitCode}}', 'agent')
      expect(ended.out.trim()).toBe('0')
      expect(sidecar()).toEqual(expected())

      podman('rm', 'agent')
      start('again', 'state')
      await untilHealthy('again')
      expect(status('again')!.identity!.fingerprint).toBe(before)
      const problems = podman('logs', 'again').err.match(/"level":"error".*/g)
      expect(problems).toBeNull()
      podman('rm', '--force', '--time', '5', 'again')
    },
  )

  inContainers(
    'without its volume wants a new token, keeps the bindings, and takes it',
    async () => {
      start('lost', 'another')
      await until('it says what is missing', () => {
        const problems = status('lost')?.problems ?? []
        return problems.some(({ code }) => ['token_spent', 'token_refused'].includes(code))
      })
      expect(podman('healthcheck', 'run', 'lost').code).not.toBe(0)
      expect(sidecar()).toEqual(expected())
      writeFileSync(join(settings, 'token'), await plane.token())
      await untilHealthy('lost')
      expect(sidecar()).toEqual(expected())
    },
  )
})

needsKustomize('the manifests of Kubernetes name this image, and start what is in it', () => {
  const version = packageJson().version
  for (const name of ['standalone', 'sidecar', 'kyma-drop-in/deployment'] as const) {
    const text = JSON.stringify(overlay(name))
    expect([name, text]).toEqual([name, expect.stringContaining(`"image":"${IMAGE}:${version}"`)])
    expect(text).toMatch(/\/usr\/local\/bin\/agent|\/app\/compass-runtime-agent/)
  }
})
