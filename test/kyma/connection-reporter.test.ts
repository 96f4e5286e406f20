import { describe, expect } from 'bun:test'
import type { Asked, Trigger, TriggerOutcome } from '../../src/agent/ports.ts'
import { COMPASS_CONNECTIONS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { APPROVE, CONDITIONS, PAUSE } from '../../src/kyma/compass-connection.ts'
import { compassConnectionReporter } from '../../src/kyma/connection-reporter.ts'
import { problem } from '../../src/model/problem.ts'
import type { Problem } from '../../src/model/problem.ts'
import type { Status } from '../../src/model/status.ts'
import { statusFixture } from '../server/status.fixture.ts'
import { kubeForTests, needsKube } from '../kube.ts'

const never = new AbortController().signal
const HOUR = 3_600_000

describe('the reporter of the CompassConnection', () => {
  const kube = kubeForTests()
  let count = 0

  /** The first object of a new kind takes the server some seconds. */
  async function warmUp(): Promise<void> {
    const spec = { managementInfo: { directorUrl: '', connectorUrl: '' } }
    await kube().client.create(COMPASS_CONNECTIONS, { metadata: { name: 'first' }, spec }, never)
  }

  /** A reporter on a CR of its own, reported to by hand. */
  async function open(kubernetes: Kubernetes = kube().client) {
    if (count === 0) await warmUp()
    count += 1
    const name = `connection-${count}`
    const asked: Trigger[] = []
    const warnings: string[] = []
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message: string) => warnings.push(message),
      error: () => undefined,
    }
    let now = Date.now()
    let status = statusFixture({ at: now })
    const reporter = compassConnectionReporter({
      kubernetes,
      name,
      ask: (trigger) => asked.push(trigger),
      log,
      now: () => now,
    })
    const scene = {
      name,
      asked,
      warnings,
      reporter,
      later: (time: number) => (now += time),
      /** Tells it a change of the status, and lets it write. */
      async report(change: Partial<Status> = {}, final = false): Promise<void> {
        status = { ...status, ...change, at: now }
        await reporter.report(status, final)
        await Bun.sleep(60)
      },
      /** A pass that was good in everything. */
      passed: () => ({
        sources: status.sources.map((one) => ({ ...one, lastAttempt: now, lastSuccess: now })),
        targets: status.targets.map((one) => ({ ...one, lastSuccess: now })),
      }),
      kinds: () => asked.map(({ kind }) => kind),
      cr: () => kube().client.get(COMPASS_CONNECTIONS, { name }, never),
      set: (patch: Record<string, unknown>) =>
        kube().client.merge(COMPASS_CONNECTIONS, { name }, patch, never),
      writes: (since: number) =>
        kube()
          .auditLog(since)
          .filter(
            (one) =>
              one.name === name || (one.verb === 'create' && one.resource === 'compassconnections'),
          )
          .filter(({ verb }) => ['create', 'update', 'patch'].includes(verb)),
      /** As the loop does when the work is done. */
      answer(kind: Asked['kind'], refused?: Problem): void {
        const outcome: TriggerOutcome = refused === undefined ? { status } : { status, refused }
        for (const trigger of asked.filter((one) => one.kind === kind)) trigger.reply?.(outcome)
      },
    }
    return scene
  }

  needsKube('makes it, and then leaves it alone until it would say something else', async () => {
    const scene = await open()
    await scene.report()
    const made = required(await scene.cr())
    expect(stateOf(made)).toBe('Synchronized')
    const mark = kube().auditMark()
    for (let pass = 0; pass < 5; pass += 1) {
      scene.later(180_000)
      await scene.report(scene.passed())
    }
    expect(scene.writes(mark)).toEqual([])
    await scene.report({ failing: { label: problem('label_refused', 'Cannot: so') } })
    expect(stateOf(required(await scene.cr()))).toBe('MetadataUpdateFailed')
    expect(scene.writes(mark)).toHaveLength(1)
    expect(scene.kinds()).toEqual([])
    await scene.report({}, true)
  })

  needsKube('is written hourly, and at the end, with the times as they are then', async () => {
    const scene = await open()
    await scene.report()
    const mark = kube().auditMark()
    scene.later(HOUR - 60_000)
    await scene.report(scene.passed())
    expect(scene.writes(mark)).toHaveLength(0)
    scene.later(120_000)
    await scene.report(scene.passed())
    expect(scene.writes(mark)).toHaveLength(1)
    scene.later(60_000)
    await scene.reporter.report(statusFixture({ at: Date.now() + 3 * HOUR }), true)
    expect(scene.writes(mark)).toHaveLength(2)
  })

  needsKube(
    'does not exist before something was tried, and is never written on standby',
    async () => {
      const scene = await open()
      const { identity: _, ...rest } = statusFixture()
      const mark = kube().auditMark()
      await scene.reporter.report({ ...rest, identity: undefined } as never, false)
      await Bun.sleep(60)
      expect(await scene.cr()).toBeUndefined()
      await scene.report({ standby: true })
      await scene.report({ standby: true }, true)
      expect(scene.writes(mark)).toEqual([])
    },
  )

  needsKube('writes nothing any more once another agent is in charge', async () => {
    const scene = await open()
    await scene.report()
    await scene.report({ standby: true })
    const mark = kube().auditMark()
    await scene.set({ spec: { resyncNow: true } })
    await Bun.sleep(100)
    await scene.report({ standby: true, failing: { renew: problem('unreachable', 'x') } })
    expect(scene.asked).toEqual([])
    expect(scene.writes(mark).map(({ userAgent, verb }) => [userAgent, verb])).toHaveLength(1)
  })

  needsKube(
    'resyncNow: asks for one sync, and takes it back only after a fully good pass',
    async () => {
      const scene = await open()
      await scene.report()
      await scene.set({ spec: { resyncNow: true } })
      await until(() => scene.asked.length > 0)
      expect(scene.kinds()).toEqual(['sync'])
      scene.later(1000)
      const failing = { ...scene.passed() }
      await scene.report({
        sources: failing.sources.map((one) => ({ ...one, problem: problem('server_failed', 'x') })),
      })
      scene.answer('sync')
      await scene.report()
      expect(specOf(await scene.cr())['resyncNow']).toBe(true)
      scene.later(1000)
      await scene.report({
        ...scene.passed(),
        sources: scene.passed().sources.map(({ problem: _, ...one }) => one),
      })
      await until(async () => specOf(await scene.cr())['resyncNow'] === false)
      expect(stateOf(required(await scene.cr()))).toBe('Synchronized')
      expect(scene.kinds()).toEqual(['sync'])
      // And again.
      await scene.set({ spec: { resyncNow: true } })
      await until(() => scene.asked.length === 2)
      await scene.report({}, true)
    },
  )

  needsKube('resyncNow that is set while we write is not lost', async () => {
    const scene = await open()
    await scene.report()
    // Between its read and its write: the watch is behind by what another client does at the same time.
    const [, changed] = await Promise.all([
      scene.report({ paused: true }),
      scene.set({ spec: { resyncNow: true } }),
    ])
    expect(specOf(changed)['resyncNow']).toBe(true)
    await scene.report()
    await until(() => scene.kinds().includes('sync'))
    expect(specOf(await scene.cr())['resyncNow']).toBe(true)
    expect(required(await scene.cr()).metadata.annotations?.[CONDITIONS]).toContain('"paused":true')
    await scene.report({}, true)
  })

  needsKube('refreshCredentialsNow: asks for a renewal, and takes it back after it', async () => {
    const scene = await open()
    await scene.report()
    await scene.set({ spec: { refreshCredentialsNow: true } })
    await until(() => scene.asked.length > 0)
    expect(scene.kinds()).toEqual(['renew'])
    scene.later(10_000)
    await scene.report({ failing: { renew: problem('unreachable', 'Cannot renew: so') } })
    expect(specOf(await scene.cr())['refreshCredentialsNow']).toBe(true)
    expect(stateOf(required(await scene.cr()))).toBe('ConnectionMaintenanceFailed')
    await scene.report({ failing: {}, identity: another() })
    await until(async () => specOf(await scene.cr())['refreshCredentialsNow'] === false)
    const status = required(await scene.cr())['status'] as { connectionStatus: { renewed: string } }
    expect(status.connectionStatus.renewed).not.toBeNull()
    expect(scene.kinds()).toEqual(['renew'])
    await scene.report({}, true)
  })

  needsKube('does not renew twice when it ended between the renewal and the write', async () => {
    const first = await open()
    await first.report()
    await first.set({ spec: { refreshCredentialsNow: true } })
    await first.report({ standby: true })
    // The next process has the new certificate, and the CR still tells of the old one.
    const asked: Trigger[] = []
    const next = compassConnectionReporter({
      kubernetes: kube().client,
      name: first.name,
      ask: (trigger) => asked.push(trigger),
      log: silent,
      now: () => Date.now(),
    })
    const status = statusFixture({ at: Date.now(), identity: another() })
    await next.report(status, false)
    await until(async () => specOf(await first.cr())['refreshCredentialsNow'] === false)
    expect(asked).toEqual([])
    await next.report(status, true)
  })

  needsKube('deleted: asks to enrol again, and is written anew', async () => {
    const scene = await open()
    await scene.report({ token: 'unspent' })
    await kube().client.remove(COMPASS_CONNECTIONS, { name: scene.name }, {}, never)
    await until(() => scene.asked.length > 0)
    expect(scene.kinds()).toEqual(['reconnect'])
    await scene.report()
    await until(async () => (await scene.cr()) !== undefined)
    scene.later(5000)
    await scene.report({ identity: another(), token: 'spent' })
    await scene.report()
    expect(scene.kinds()).toEqual(['reconnect'])
    await scene.report({}, true)
  })

  needsKube('deleted without a token that is any good: waits for one, and says so', async () => {
    const scene = await open()
    await scene.report({ token: 'spent' })
    await kube().client.remove(COMPASS_CONNECTIONS, { name: scene.name }, {}, never)
    await until(async () => {
      await scene.report()
      return (await scene.cr()) !== undefined
    })
    await scene.report()
    expect(scene.asked).toEqual([])
    expect(required(await scene.cr()).metadata.annotations?.[CONDITIONS]).toContain(
      'waits for a token that was not used before',
    )
    await scene.report({ token: 'unspent' })
    expect(scene.kinds()).toEqual(['reconnect'])
    await scene.report()
    expect(scene.kinds()).toEqual(['reconnect'])
    await scene.report({ identity: another(), token: 'spent' })
    expect(required(await scene.cr()).metadata.annotations?.[CONDITIONS]).not.toContain('waits for')
    await scene.report({}, true)
  })

  needsKube('approve: asks once, takes the annotation away, and says what came of it', async () => {
    const scene = await open()
    await scene.report()
    await scene.set({ metadata: { annotations: { [APPROVE]: '0123456789ab', keep: 'me' } } })
    await until(() => scene.asked.length > 0)
    expect(scene.asked[0]).toMatchObject({ kind: 'approve', hash: '0123456789ab' })
    await scene.report()
    expect(required(await scene.cr()).metadata.annotations).toHaveProperty([APPROVE])
    scene.answer(
      'approve',
      problem('approval_unknown', 'Cannot approve 0123456789ab: nothing is held under it'),
    )
    await scene.report()
    const { annotations = {} } = required(await scene.cr()).metadata
    expect(annotations).not.toHaveProperty([APPROVE])
    expect(annotations['keep']).toBe('me')
    expect(annotations[CONDITIONS]).toContain('nothing is held under it')
    await scene.set({ metadata: { annotations: { [APPROVE]: 'yes please' } } })
    await until(async () => {
      await scene.report()
      return !(APPROVE in (required(await scene.cr()).metadata.annotations ?? {}))
    })
    expect(scene.kinds()).toEqual(['approve'])
    await scene.report({}, true)
  })

  needsKube('pause: as long as the annotation says so', async () => {
    const scene = await open()
    await scene.report()
    await scene.set({ metadata: { annotations: { [PAUSE]: 'true' } } })
    await until(() => scene.asked.length === 1)
    await scene.report({ paused: true })
    await scene.set({ metadata: { annotations: { [PAUSE]: null } } })
    await until(() => scene.asked.length === 2)
    expect(scene.kinds()).toEqual(['pause', 'resume'])
    await scene.report({ paused: false }, true)
  })

  needsKube('made by hand without status: is taken over', async () => {
    const scene = await open()
    const byHand: KubeObject = {
      metadata: { name: scene.name },
      spec: { managementInfo: { directorUrl: '', connectorUrl: '' }, resyncNow: true },
    }
    await kube().client.create(COMPASS_CONNECTIONS, byHand, never)
    await scene.report()
    await until(async () => stateOf(await scene.cr()) === 'Synchronized')
    expect(scene.kinds()).toEqual(['sync'])
    await scene.report({}, true)
  })

  needsKube('spoiled by hand: is put right', async () => {
    const scene = await open()
    await scene.report()
    await scene.set({ status: { connectionState: 'Nonsense', connectionStatus: { error: 'x' } } })
    await Bun.sleep(100)
    await scene.report()
    await until(async () => stateOf(await scene.cr()) === 'Synchronized')
    await scene.report({}, true)
  })

  needsKube('without the right says which is missing, once, and holds up nobody', async () => {
    await kube().applyManifests(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: default}
`)
    const scene = await open(await kube().as({ namespace: 'default', name: 'nobody' }))
    for (let pass = 0; pass < 3; pass += 1) {
      await scene.report()
      await until(() => scene.reporter.problem() !== undefined)
      scene.later(60_000)
    }
    expect(scene.reporter.problem()?.code).toBe('kubernetes_forbidden')
    expect(scene.warnings).toHaveLength(1)
    expect(scene.warnings[0]).toContain('lacks the right to')
    expect(scene.warnings[0]).toContain('compassconnections')
  })

  needsKube('holds up nobody while the API server is down, and catches up after it', async () => {
    const scene = await open()
    await scene.report()
    await kube().kill()
    const before = performance.now()
    await scene.reporter.report(statusFixture({ at: Date.now(), paused: true }), false)
    expect(performance.now() - before).toBeLessThan(100)
    await until(() => scene.reporter.problem() !== undefined)
    await kube().revive()
    await until(async () => {
      scene.later(31_000)
      await scene.report({ paused: true })
      const cr = await scene.cr()
      return cr?.metadata.annotations?.[CONDITIONS]?.includes('"paused":true') === true
    })
    expect(scene.reporter.problem()).toBeUndefined()
    await scene.report({}, true)
  })
})

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** The identity of another certificate. */
function another() {
  const now = Math.floor(Date.now() / 1000) * 1000
  return {
    ...required(statusFixture().identity),
    fingerprint: 'cd'.repeat(32),
    notBefore: now,
    notAfter: now + 90_000,
  }
}

function stateOf(object: KubeObject | undefined): string | undefined {
  return (object?.['status'] as { connectionState?: string } | undefined)?.connectionState
}

function specOf(object: KubeObject | undefined): Record<string, unknown> {
  return (object?.['spec'] ?? {}) as Record<string, unknown>
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is none')
  return value
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await condition()) return
    await Bun.sleep(25)
  }
  throw new Error('it never came about')
}
