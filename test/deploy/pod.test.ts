/** The executable as the pods of deploy/kubernetes run it: another user than root, and nothing to write to but /dev/shm. */
import { afterEach, beforeAll, describe, expect, setDefaultTimeout } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync } from 'node:fs'
import { findEnvtest, findKustomize } from '../../scripts/envtest.ts'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import { freePort } from '../e2e/support/agent-home.ts'
import { ensureExecutable, executable, onExecutable, until } from '../e2e/support/program.ts'
import { kubeForTests } from '../kube.ts'
import { skipUnless } from '../skip.ts'
import { openScene } from './agents.ts'
import type { Scene } from './agents.ts'
import { ACCOUNTS, install, needsCluster } from './cluster.ts'
import { ofKind, overlay, podOf } from './overlays.ts'

setDefaultTimeout(120_000)

const { signal } = new AbortController()
const isReady = findEnvtest() !== undefined && findKustomize() !== undefined
const mayMount = spawnSync('unshare', ['--mount', 'setpriv', '--version']).status === 0
const needsMounts = skipUnless(mayMount, {
  why: 'this user may not make a mount namespace, or unshare and setpriv are not installed',
  how: 'run the tests as root on Linux (apt-get install util-linux)',
})
const inPod = !isReady ? needsCluster : mayMount ? onExecutable : needsMounts

const kube = kubeForTests()
if (isReady && mayMount)
  beforeAll(async () => {
    await ensureExecutable()
    await install(kube())
  }, 120_000)

let scene: Scene | undefined
afterEach(async () => {
  await scene?.close()
  scene = undefined
})

/** Every file system read-only, a /dev/shm as container runtimes make it, a user without any right. */
const AS_POD = `
mount --make-rprivate /
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
for place in $(awk '{print $5}' /proc/self/mountinfo | grep -vE '^/(proc|sys|dev)(/|$)'); do
  mount -o remount,bind,ro "$place" || exit 99
done
touch "$2/writable" 2>/dev/null && exit 98
id=$1; shift 2
exec setpriv --reuid="$id" --regid="$id" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"`

describe('in a pod', () => {
  inPod(
    'the executable works, answers probes, and shows its status to who asks inside',
    async () => {
      scene = await openScene(kube(), 'standalone')
      const [deployment] = ofKind(overlay('standalone'), 'Deployment')
      const user = String(podOf(deployment!).spec.securityContext['runAsUser'])
      const port = await freePort()
      chmodSync(await kube().kubeconfigOf(ACCOUNTS.standalone), 0o644)
      chmodSync(kube().directory, 0o755)
      const program = `${kube().directory}/agent`
      copyFileSync(executable(), program)
      const agent = scene.start(
        { wrap: ['unshare', '--mount', 'sh', '-c', AS_POD, 'sh', user, kube().directory], program },
        {
          identity: {
            ...{ store: 'secret', secret: 'runtime-agent/runtime-agent-identity' },
            directory: '/dev/shm/runtime-agent',
          },
          status: { listen: `0.0.0.0:${port}` },
        },
      )
      const [home] = scene.homes
      await until('all bindings are there', async () => {
        if (!agent.isRunning()) throw new Error(`it ended: ${JSON.stringify(home!.log())}`)
        const { items } = await kube().client.list(SECRETS, { namespace: 'integrations' }, signal)
        return items.length === 4
      })
      const probe = (path: string): Promise<Response> =>
        fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: `10.42.0.17:${port}` } })
      await until('the pass is over', async () => (await probe('/readyz')).ok)
      for (const path of ['/livez', '/readyz', '/healthz'])
        expect([path, (await probe(path)).status]).toEqual([path, 200])
      // As kubectl exec does: in the namespaces of the process.
      const inside = ['--target', String(agent.pid), '--mount', '--', program, 'status']
      const status = spawnSync('nsenter', [...inside, '--config', home!.path('agent.yaml')], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
      })
      expect([status.status, status.stderr]).toEqual([0, ''])
      expect(status.stdout).toContain('kubernetes')
      const problems = home!.log().filter(({ level }) => level === 'error')
      expect(problems).toEqual([])
      expect((await agent.stop()).how).toBe(0)
    },
  )
})
