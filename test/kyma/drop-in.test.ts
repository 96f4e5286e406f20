import { afterEach, describe, expect, test } from 'bun:test'
import { COMPASS_CONNECTIONS, SECRETS } from '../../src/clients/kubernetes/api.ts'
import { landscapeFor, parsed } from '../e2e/support/landscape.ts'
import { until } from '../e2e/support/program.ts'
import { kubeForTests, needsKube } from '../kube.ts'
import { slow } from '../skip.ts'
import { never, openDropIn } from './support/drop-in.ts'
import type { DropIn } from './support/drop-in.ts'

const SLOW = 90_000
/** Takes a real API server, and more than some seconds. */
const slowly = needsKube === test ? slow : needsKube
const IDENTITY = 'cluster-client-certificates'

describe('the drop-in for the Go agent', () => {
  const kube = kubeForTests()
  let open: DropIn | undefined
  const scene = async (
    ...args: Parameters<typeof openDropIn> extends [unknown, ...infer Rest] ? Rest : never
  ) => (open = await openDropIn(kube(), ...args))
  afterEach(async () => {
    await open?.close()
    open = undefined
  })

  slowly(
    'lives through its whole life by the Secret of Compass Manager and the CompassConnection alone',
    async () => {
      const kyma = await scene()
      const agent = kyma.start()

      // No Secret yet: a state, a probe that is answered, no crash.
      const first = await kyma.untilConnection(
        'it waits',
        ({ state }) => state === 'ConnectionFailed',
      )
      expect(first.connection.error).toStartWith('Failed to retrieve certificate: ')
      expect(first.connection.established).toBeNull()
      expect(first.synchronization).toBeNull()
      expect(first.spec.managementInfo).toEqual({ directorUrl: '', connectorUrl: '' })
      const probe = await fetch(`http://127.0.0.1:${kyma.port}/healthz`, {
        headers: { host: `10.42.0.17:${kyma.port}` },
      })
      expect([probe.status, await probe.text()]).toEqual([200, expect.stringMatching(/^ok, /)])

      // Compass Manager writes it.
      const at = performance.now()
      const token = await kyma.configure()
      const synced = await kyma.untilConnection(
        'it is in step',
        ({ state }) => state === 'Synchronized',
      )
      expect(performance.now() - at).toBeLessThan(20_000)
      expect(synced.connection).not.toHaveProperty('error')
      // There is no istio-system here: worth a word, no more.
      expect(synced.conditions).toContain('istio-system')
      expect(synced.spec.managementInfo.directorUrl).toBe(kyma.plane.directorUrl)
      expect(synced.spec.managementInfo.connectorUrl).toBe(kyma.plane.mtlsConnectorUrl)
      expect(await kyma.applications()).toEqual(['mp-kyma-app-0', 'mp-kyma-app-1'])
      const identity = await kyma.secret(IDENTITY)
      expect(Object.keys(identity ?? {})).toEqual(
        expect.arrayContaining(['crt', 'crtChain', 'key']),
      )
      expect(identity?.['key']).toStartWith('-----BEGIN RSA PRIVATE KEY-----')
      expect(kyma.plane.runtimes()[0]?.labels).toMatchObject({
        runtime_eventServiceUrl: 'https://gateway.kyma.local',
        runtime_consoleUrl: 'https://console.kyma.local',
      })

      // A new token: a healthy agent leaves it unspent.
      const signings = kyma.calls('sign')
      const second = await kyma.configure()
      await Bun.sleep(6000)
      expect(kyma.calls('sign')).toBe(signings)

      // Deleting the CR spends it.
      await kyma.removeConnection()
      await until(
        'there is another certificate',
        async () => (await kyma.secret(IDENTITY))?.['crt'] !== identity?.['crt'],
      )
      expect(kyma.calls('sign')).toBe(signings + 1)
      await Bun.sleep(100)
      const again = await kyma.untilConnection(
        'it is in step again',
        ({ uid, state }) => uid !== synced.uid && state === 'Synchronized',
      )

      // refreshCredentialsNow: one new certificate, and taken back.
      await kyma.patchConnection({ spec: { refreshCredentialsNow: true } })
      const renewed = await kyma.untilConnection(
        'it has renewed',
        ({ spec, connection }) =>
          spec.refreshCredentialsNow === false && connection.renewed !== null,
      )
      expect(renewed.connection.established).toBe(again.connection.established)
      expect(kyma.calls('sign')).toBe(signings + 2)

      const { how } = await agent.stop()
      expect(how).toBe(0)
      for (const secret of [token, second, 'kyma app 0 one'])
        expect(kyma.log()).not.toContain(secret)
    },
    SLOW,
  )

  slowly(
    'resyncNow fetches at once, and is taken back after the pass',
    async () => {
      const kyma = await scene()
      await kyma.configure()
      kyma.start({ APP_CONTROLLER_SYNC_PERIOD: '180s' })
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      kyma.plane.edit(({ applications }) => applications.splice(1))
      await kyma.patchConnection({ spec: { resyncNow: true } })
      await kyma.untilConnection('the pass is over', ({ spec }) => spec.resyncNow === false)
      expect(await kyma.applications()).toEqual(['mp-kyma-app-0'])
    },
    SLOW,
  )

  slowly(
    'an expired certificate ends with a new token, without anybody deleting anything',
    async () => {
      const kyma = await scene({ lifetimes: { certificate: 8000 } })
      await kyma.configure()
      kyma.start()
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      await kyma.plane.set({ connectorDown: true })
      const expired = await kyma.untilConnection(
        'the certificate has expired',
        ({ state }) => state === 'ConnectionFailed',
        40_000,
      )
      expect(expired.connection.error).toContain('expired')
      expect(await kyma.applications()).toHaveLength(2)
      await kyma.plane.reset()
      await kyma.plane.set({ certificateLifetime: 3_600_000 })
      await kyma.configure()
      const back = await kyma.untilConnection('it is back', ({ state }) => state === 'Synchronized')
      expect(back.connection).not.toHaveProperty('error')
      expect(back.uid).toBe(expired.uid)
    },
    SLOW,
  )

  slowly(
    'killed between the signing call and its answer tries that token slowly, and takes a new one at once',
    async () => {
      const kyma = await scene()
      const token = await kyma.configure()
      await kyma.plane.set({ lost: { operation: 'sign', count: 1 } })
      const first = kyma.start()
      await until('it was signed', () => kyma.calls('sign') > 0)
      first.signal('SIGKILL')
      await first.exited
      // The key is kept: it is stored before the call, and nothing of it stands where the certificate belongs.
      const stored = await kyma.secret(IDENTITY)
      expect(stored?.['runtime-agent.pending.json']).toContain('signing')
      expect(stored?.['crt']).toBeUndefined()
      kyma.start()
      await kyma.untilConnection('it failed', ({ state }) => state === 'ConnectionFailed', 40_000)
      await Bun.sleep(5000)
      expect(kyma.calls('sign')).toBeLessThanOrEqual(2)
      expect(await kyma.configure()).not.toBe(token)
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
    },
    SLOW,
  )

  slowly(
    'resyncNow with a rejected token asks no more than without',
    async () => {
      const kyma = await scene()
      await kyma.configure({ TOKEN: 'rejected' })
      kyma.start()
      await kyma.untilConnection('it failed', ({ state }) => state === 'ConnectionFailed')
      await kyma.patchConnection({ spec: { resyncNow: true } })
      const before = kyma.calls('configuration')
      await Bun.sleep(6000)
      expect(kyma.calls('configuration') - before).toBeLessThanOrEqual(1)
      expect((await kyma.connection())?.spec.resyncNow).toBe(true)
      await kyma.configure()
      await kyma.untilConnection(
        'the wish is granted',
        ({ state, spec }) => state === 'Synchronized' && spec.resyncNow === false,
      )
    },
    SLOW,
  )

  needsKube(
    'logs no secret when calls fail, also with APP_QUERY_LOGGING, and takes a subject with commas',
    async () => {
      const kyma = await scene()
      await kyma.plane.set({ subject: { O: 'Acme, Inc' }, subjectEscaped: true })
      const token = await kyma.configure()
      kyma.start({ APP_QUERY_LOGGING: 'true' })
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      await kyma.plane.set({ directorDown: true })
      await kyma.untilConnection('it fails', ({ state }) => state === 'SynchronizationFailed')
      await kyma.plane.reset()
      const good = await kyma.untilConnection(
        'it is in step',
        ({ state }) => state === 'Synchronized',
      )
      expect(good.synchronization).not.toHaveProperty('error')
      expect(kyma.log()).toContain('APP_QUERY_LOGGING is ignored')
      for (const secret of [token, 'kyma app 0 one', '-----BEGIN RSA']) {
        expect(kyma.log()).not.toContain(secret)
      }
    },
    SLOW,
  )

  needsKube(
    'a RUNTIME_ID of another runtime is named, and nothing is deleted for it',
    async () => {
      const kyma = await scene()
      const token = await kyma.configure()
      kyma.start()
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      const other = '00000000-0000-4000-8000-000000000000'
      await kyma.configure({ TOKEN: token, RUNTIME_ID: other })
      kyma.plane.edit(({ applications }) => applications.splice(1))
      const failed = await kyma.untilConnection(
        'it is named',
        ({ state }) => state === 'SynchronizationFailed',
      )
      expect(failed.synchronization?.['error']).toStartWith('Failed to read Runtime config: ')
      expect(failed.synchronization?.['error']).toContain(other)
      expect(await kyma.applications()).toHaveLength(2)
      await kyma.configure({ TOKEN: token })
      await kyma.untilConnection('it goes on', ({ state }) => state === 'Synchronized')
      await until('the application is gone', async () => (await kyma.applications()).length === 1)
    },
    SLOW,
  )

  slowly(
    'deletions that are held name their hash in the CompassConnection, and its annotation releases them',
    async () => {
      const kyma = await scene({ landscape: parsed(landscapeFor(['kyma'], 12)) })
      await kyma.configure()
      kyma.start()
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      expect(await kyma.applications()).toHaveLength(12)
      kyma.plane.edit(({ applications }) => applications.splice(2))
      const { conditions } = await kyma.untilConnection('they are held', (seen) =>
        seen.conditions.includes('"held"'),
      )
      const [hash = ''] = /(?<="hash":")[0-9a-f]{12}/.exec(conditions) ?? []
      expect(await kyma.applications()).toHaveLength(12)
      const approve = 'runtime-agent.kyma-project.io/approve'
      await kyma.patchConnection({ metadata: { annotations: { [approve]: hash } } })
      await until('they are gone', async () => (await kyma.applications()).length === 2)
      await kyma.untilConnection(
        'it says so',
        (seen) => seen.conditions.includes(`${hash}: done`) && !seen.conditions.includes('"held"'),
      )
      const found = await kube().client.get(
        COMPASS_CONNECTIONS,
        { name: 'compass-connection' },
        never,
      )
      expect(found?.metadata.annotations).not.toHaveProperty([approve])
    },
    SLOW,
  )

  slowly(
    'a Director that takes longer than half a minute is waited for',
    async () => {
      const kyma = await scene()
      await kyma.plane.set({ delay: { value: 32_000, operation: 'applications', count: 1 } })
      await kyma.configure()
      kyma.start()
      const synced = await kyma.untilConnection(
        'it is in step',
        ({ state }) => state === 'Synchronized',
        60_000,
      )
      expect(synced.synchronization).not.toHaveProperty('error')
      expect(kyma.calls('applications')).toBeGreaterThanOrEqual(1)
      expect(kyma.log()).not.toContain('timed_out')
    },
    SLOW,
  )

  slowly(
    'commands work in the pod as they do beside an agent.yaml',
    async () => {
      const kyma = await scene()
      await kyma.configure()
      const check = await kyma.run(['check'])
      expect([check.code, check.out]).toEqual([
        0,
        'the configuration of the environment (APP_*) is fine: kyma (kyma)\n',
      ])
      expect(check.err).toContain('APP_SKIP_COMPASS_TLS_VERIFY is ignored')
      const connect = await kyma.run(['connect'])
      expect([connect.code, connect.err]).toEqual([
        0,
        expect.stringContaining('connected as runtime'),
      ])
      const plan = await kyma.run(['plan', '--json'])
      expect([plan.code, plan.err]).toEqual([0, ''])
      const { targets } = JSON.parse(plan.out) as { targets: { changes: { kind: string }[] }[] }
      expect(targets[0]?.changes.length).toBeGreaterThan(0)
      expect(await kyma.applications()).toEqual([])
      expect(await kyma.connection()).toBeUndefined()
      const agent = kyma.start()
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      const status = await kyma.run(['status'])
      expect([status.code, status.out]).toEqual([0, expect.stringContaining('kyma')])
      expect((await kyma.run(['pause'])).code).toBe(0)
      await kyma.untilConnection('it says so', ({ conditions }) =>
        conditions.includes('"paused":true'),
      )
      expect((await kyma.run(['resume'])).code).toBe(0)
      expect((await kyma.run(['sync', '--once'])).code).toBe(0)
      expect((await kyma.run(['disconnect'])).code).toBe(4)
      await agent.stop()
      const disconnect = await kyma.run(['disconnect'])
      expect([disconnect.code, disconnect.err]).toEqual([
        0,
        expect.stringContaining('disconnected'),
      ])
      expect(await kyma.connection()).toBeUndefined()
      expect(await kyma.applications()).toHaveLength(2)
    },
    SLOW,
  )

  needsKube(
    'without a directory that can be written it works, and status comes over the port',
    async () => {
      const kyma = await scene()
      await kyma.configure()
      const env = { RUNTIME_AGENT_DIRECTORY: '/proc/runtime-agent' }
      kyma.start(env)
      await kyma.untilConnection('it is in step', ({ state }) => state === 'Synchronized')
      expect(kyma.log().match(/no control socket and no status file/g)).toHaveLength(1)
      const status = await kyma.run(['status', '--json'], env)
      expect(status.code).toBe(0)
      expect(JSON.parse(status.out)).toMatchObject({ state: expect.any(String) as string })
    },
    SLOW,
  )

  needsKube(
    "under the Go agent's roles alone it stops before a token is spent, and names what is missing",
    async () => {
      const kyma = await scene()
      await kube().applyManifests(GO_AGENT_ROLES)
      const account = { namespace: 'kyma-system', name: 'compass-runtime-agent' }
      await kyma.configure()
      const agent = kyma.start({}, await kube().kubeconfigOf(account))
      await until('it says what is missing', () => kyma.log().includes('may not'), 30_000)
      await Bun.sleep(2000)
      expect(kyma.plane.events()).toEqual([])
      const line =
        kyma
          .log()
          .split('\n')
          .find((one) => one.includes('may not')) ?? ''
      for (const part of ['leases.coordination.k8s.io', 'patch', 'applications', 'secrets'])
        expect(line).toContain(part)
      const health = await fetch(`http://127.0.0.1:${kyma.port}/healthz`)
      expect(await health.text()).toContain('may not')
      expect(agent.isRunning()).toBe(true)
      const identity = await kube().client.get(
        SECRETS,
        { namespace: 'kyma-system', name: IDENTITY },
        never,
      )
      expect(identity).toBeUndefined()
    },
    SLOW,
  )

  needsKube(
    'wrong variables are told all at once, and nothing is touched',
    async () => {
      const kyma = await scene()
      const mark = kube().auditMark()
      const wrong = { APP_CONTROLLER_SYNC_PERIOD: '3', APP_HEALTH_PORT: 'x' }
      const { code, err } = await kyma.run(['run'], wrong)
      expect(code).toBe(2)
      expect(err).toContain('two problems'.replace('two', '2'))
      expect(err).toContain('APP_CONTROLLER_SYNC_PERIOD: found "3", want a length of time')
      expect(err).toContain('APP_HEALTH_PORT: found "x", want a port')
      expect(kube().auditLog(mark)).toEqual([])
    },
    SLOW,
  )
})

/** application-connector-manager (reference/go-agent.md §2). */
const GO_AGENT_ROLES = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: compass-runtime-agent, namespace: kyma-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: compass-runtime-agent}
rules:
  - {apiGroups: [compass.kyma-project.io], resources: [compassconnections], verbs: [create, get, list, update, delete, watch]}
  - {apiGroups: [applicationconnector.kyma-project.io], resources: [applications], verbs: [get, list, create, update, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: compass-runtime-agent}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: compass-runtime-agent}
subjects: [{kind: ServiceAccount, name: compass-runtime-agent, namespace: kyma-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: compass-runtime-agent, namespace: kyma-system}
rules:
  - {apiGroups: [""], resources: [secrets], verbs: [create, get, update, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: compass-runtime-agent, namespace: kyma-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: compass-runtime-agent}
subjects: [{kind: ServiceAccount, name: compass-runtime-agent, namespace: kyma-system}]
`
