import { describe, expect, test } from 'bun:test'
import { LEASES, PODS } from '../../../src/clients/kubernetes/api.ts'
import { openLease, type LeaseOptions } from '../../../src/clients/kubernetes/lease.ts'
import { leaseRights } from '../../../src/clients/kubernetes/lease-record.ts'
import { HOUR, MINUTE, SECOND } from '../../../src/model/time.ts'
import type { Log } from '../../../src/runtime/log.ts'
import { failure, FakeKubernetes } from '../../fake-kubernetes.ts'
import { FakeClock, settle } from '../../fakes.ts'

const PLACE = { namespace: 'kyma-system', name: 'runtime-agent' }

/** A cluster, and replicas with clocks of their own that all run at the same speed. */
function scene() {
  const cluster = new FakeKubernetes()
  const clocks: FakeClock[] = []
  /** Time that no setting of a clock changes. */
  let steady = 0
  const advance = async (length: number): Promise<void> => {
    for (let left = length; left > 0; left -= 250) {
      steady += 250
      for (const clock of clocks) await clock.advance(250)
    }
  }
  /** One that asks to be in charge, from now on. */
  const replica = (name: string, options: Partial<LeaseOptions> & { skew?: number } = {}) => {
    const clock = new FakeClock()
    clocks.push(clock)
    let skew = options.skew ?? 0
    const kubernetes = cluster.another()
    const end = new AbortController()
    const warned: string[] = []
    const waits: string[] = []
    const log: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => warned.push(message),
      error: () => undefined,
    }
    const lease = openLease({
      kubernetes,
      ...PLACE,
      holder: name,
      // Setting a clock changes no sleep, as with systemClock.
      clock: { now: () => clock.now() + skew, sleep: (...given) => clock.sleep(...given) },
      steady: () => steady,
      log,
      ...options,
    })
    const one = {
      setClock: (by: number) => (skew += by),
      kubernetes,
      lease,
      end,
      warned,
      waits,
      owned: undefined as { lost: AbortSignal; release(): Promise<void> } | undefined,
      failed: undefined as unknown,
      get inCharge() {
        return one.owned?.lost.aborted === false
      },
      acquire: () => {
        one.owned = undefined
        return lease
          .acquire(end.signal, (why) => waits.push(why))
          .then(
            (owned) => (one.owned = owned),
            (thrown: unknown) => (one.failed = thrown),
          )
      },
      /** As a process that is killed: it does nothing any more. */
      kill: () => {
        kubernetes.before = () => new Promise(() => undefined)
        clocks.splice(clocks.indexOf(clock), 1)
        one.owned = undefined
      },
    }
    void one.acquire()
    return one
  }
  const spec = (): Record<string, unknown> =>
    (cluster.objects.get('leases/kyma-system/runtime-agent')?.['spec'] ?? {}) as Record<
      string,
      unknown
    >
  return { cluster, advance, replica, spec, time: () => steady }
}

test('the first one is in charge at once, with a Lease as Kubernetes writes it', async () => {
  const { replica, advance, spec } = scene()
  const one = replica('pod-a_1')
  await advance(250)
  expect(one.inCharge).toBe(true)
  expect(one.waits).toEqual([])
  expect(spec()).toEqual({
    holderIdentity: 'pod-a_1',
    leaseDurationSeconds: 15,
    acquireTime: '2026-11-21T00:00:00.000000Z',
    renewTime: '2026-11-21T00:00:00.000000Z',
    leaseTransitions: 0,
  })
})

test('the others stand by and say for whom, for as long as it renews every 5 s', async () => {
  const { replica, advance, spec } = scene()
  const one = replica('pod-a_1')
  await advance(250)
  const two = replica('pod-b_2')
  const before = one.kubernetes.calls.length
  await advance(10 * MINUTE)
  expect([one.inCharge, two.inCharge]).toEqual([true, false])
  expect(two.waits).toEqual(['another replica is in charge: pod-a_1'])
  expect(one.kubernetes.calls.length - before).toBe(120)
  expect(new Set(one.kubernetes.calls.slice(before))).toEqual(
    new Set(['patch leases/runtime-agent']),
  )
  expect(spec()).toMatchObject({ renewTime: '2026-11-21T00:10:00.000000Z', leaseTransitions: 0 })
})

test('a leader that is killed is followed within 30 s, at whatever moment', async () => {
  for (let moment = 0; moment < 5000; moment += 500) {
    const { replica, advance, spec, time } = scene()
    const one = replica('pod-a_1')
    await advance(250)
    const two = replica('pod-b_2')
    await advance(20 * SECOND + moment)
    one.kill()
    const killed = time()
    while (!two.inCharge) await advance(250)
    expect(time() - killed).toBeGreaterThan(9 * SECOND)
    expect(time() - killed).toBeLessThan(20 * SECOND)
    expect(spec()).toMatchObject({ holderIdentity: 'pod-b_2', leaseTransitions: 1 })
  }
})

test('one that ends hands over: the next is in charge within 3 s', async () => {
  const { replica, advance, spec } = scene()
  const one = replica('pod-a_1')
  await advance(250)
  const two = replica('pod-b_2')
  await advance(7 * SECOND)
  await one.owned?.release()
  expect(spec()['holderIdentity']).toBeUndefined()
  await advance(3 * SECOND)
  expect(two.inCharge).toBe(true)
  const calls = one.kubernetes.calls.length
  await advance(MINUTE)
  expect(one.kubernetes.calls.length).toBe(calls)
})

test('clocks that differ by hours neither take nor lose anything', async () => {
  for (const skew of [-HOUR, HOUR]) {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(250)
    const two = replica('pod-b_2', { skew })
    await advance(5 * MINUTE)
    expect([one.inCharge, two.inCharge]).toEqual([true, false])
  }
})

test('two are never in charge at the same time, whoever cannot reach the API server and when', async () => {
  let seed = 7
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647
  const { replica, advance } = scene()
  const all = ['a', 'b', 'c'].map((name) => replica(name))
  let terms = 0
  for (let turn = 0; turn < 400; turn += 1) {
    const one = all[Math.floor(random() * 3)]!
    const kind = random()
    one.kubernetes.before =
      kind < 0.3
        ? () => Promise.reject(failure('unreachable', 'no route'))
        : kind < 0.4
          ? () => new Promise(() => undefined)
          : () => undefined
    one.kubernetes.after =
      kind > 0.9 ? () => Promise.reject(failure('timed_out', 'lost')) : () => undefined
    await advance(1000 + Math.floor(random() * 8) * 1000)
    expect(all.filter(({ inCharge }) => inCharge).length).toBeLessThan(2)
    for (const each of all) {
      if (each.owned?.lost.aborted !== true) continue
      terms += 1
      void each.owned.release().then(each.acquire)
      each.owned = undefined
    }
  }
  expect(terms).toBeGreaterThan(10)
})

describe('one that cannot renew', () => {
  test.each([
    ['fails', () => Promise.reject(failure('kubernetes_failed', 'it is down'))],
    ['hangs', () => new Promise<void>(() => undefined)],
  ])(
    'because the API server %s stops 10 s after it last could, before another may begin',
    async (_, before) => {
      const { replica, advance, time } = scene()
      const one = replica('pod-a_1')
      await advance(250)
      const two = replica('pod-b_2')
      await advance(5 * SECOND)
      one.kubernetes.before = before
      const from = time()
      while (one.inCharge) await advance(250)
      expect(time() - from).toBeLessThanOrEqual(11 * SECOND)
      expect(two.inCharge).toBe(false)
      expect(one.owned?.lost.reason).toMatchObject({
        code: 'already_running',
        message: expect.stringMatching(
          /^Cannot go on: the Lease could not be renewed for 10 s: Cannot /,
        ),
      })
      expect(one.warned).toHaveLength(1)
      while (!two.inCharge) await advance(250)
      expect(time() - from).toBeLessThan(20 * SECOND)
    },
  )

  test('for less than that goes on', async () => {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(250)
    for (let round = 0; round < 5; round += 1) {
      one.kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
      await advance(8 * SECOND)
      one.kubernetes.before = () => undefined
      await advance(6 * SECOND)
    }
    expect(one.inCharge).toBe(true)
  })

  test('as its machine slept stops on waking, by the clock that went on', async () => {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(6 * SECOND)
    one.setClock(20 * SECOND)
    await advance(SECOND)
    expect(one.inCharge).toBe(false)
  })

  test('a clock that is set back keeps nothing for longer', async () => {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(6 * SECOND)
    one.kubernetes.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    one.setClock(-HOUR)
    await advance(11 * SECOND)
    expect(one.inCharge).toBe(false)
  })
})

describe('a Lease that somebody else touches', () => {
  test('with a label only stays ours', async () => {
    const { replica, advance, cluster } = scene()
    const one = replica('pod-a_1')
    await advance(SECOND)
    await cluster.merge(LEASES, PLACE, { metadata: { labels: { team: 'a' } } })
    await advance(MINUTE)
    expect(one.inCharge).toBe(true)
    expect(one.warned).toEqual([])
  })

  test('by deleting it is made anew by its holder', async () => {
    const { replica, advance, cluster, spec } = scene()
    const one = replica('pod-a_1')
    await advance(SECOND)
    await cluster.remove(LEASES, PLACE, {})
    await advance(10 * SECOND)
    expect(one.inCharge).toBe(true)
    expect(spec()['holderIdentity']).toBe('pod-a_1')
  })

  test('by giving it to another ends our term with the next renewal', async () => {
    const { replica, advance, cluster } = scene()
    const one = replica('pod-a_1')
    await advance(SECOND)
    await cluster.merge(LEASES, PLACE, { spec: { holderIdentity: 'somebody' } })
    await advance(5 * SECOND)
    expect(one.owned?.lost.reason).toMatchObject({
      message: 'Cannot go on: the Lease has gone to somebody',
    })
    await one.owned?.release()
    expect((await cluster.get(LEASES, PLACE))?.['spec']).toMatchObject({
      holderIdentity: 'somebody',
    })
  })

  test('by another duration is put right by its holder, and counts for a minute at most', async () => {
    for (const leaseDurationSeconds of [1, 3600]) {
      const { cluster, replica, advance, spec, time } = scene()
      const one = replica('pod-a_1')
      await advance(250)
      const two = replica('pod-b_2')
      await advance(SECOND)
      const edit = () =>
        cluster.merge(LEASES, PLACE, { metadata: {}, spec: { leaseDurationSeconds } })
      await edit()
      await advance(4 * SECOND)
      expect([one.inCharge, two.inCharge]).toEqual([true, false])
      await advance(2 * SECOND)
      expect([one.inCharge, spec()['leaseDurationSeconds']]).toEqual([true, 15])
      one.kill()
      await edit()
      const killed = time()
      while (!two.inCharge) await advance(250)
      expect(time() - killed).toBeLessThan(70 * SECOND)
      expect(spec()['leaseDurationSeconds']).toBe(15)
    }
  })

  test('by breaking it does not keep anybody out', async () => {
    for (const spec of [{}, null, { holderIdentity: 7, leaseDurationSeconds: 'x' }]) {
      const { replica, advance, cluster } = scene()
      await cluster.create(LEASES, { metadata: PLACE, spec })
      const one = replica('pod-a_1')
      await advance(SECOND)
      expect(one.inCharge).toBe(true)
    }
  })
})

describe('who else is in charge', () => {
  test('keeps the Lease from being taken, and is said', async () => {
    const { replica, advance, spec } = scene()
    let why: string | undefined = 'the Go agent runs'
    const one = replica('pod-a_1', { hindrance: () => Promise.resolve(why) })
    await advance(MINUTE)
    expect(one.waits).toEqual(['the Go agent runs'])
    expect(spec()).toEqual({})
    why = undefined
    await advance(3 * SECOND)
    expect(one.inCharge).toBe(true)
    why = 'the Go agent is back'
    await advance(10 * SECOND)
    expect(one.owned?.lost.reason).toMatchObject({ message: 'Cannot go on: the Go agent is back' })
  })

  test('that cannot be asked about keeps a new one out and a present one in', async () => {
    const look = (kubernetes: FakeKubernetes) => async () => {
      await kubernetes.list(PODS, {})
      return undefined
    }
    const late = scene()
    const cluster = late.cluster.another()
    cluster.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    const one = late.replica('pod-a_1', { hindrance: look(cluster) })
    await late.advance(20 * SECOND)
    expect(one.inCharge).toBe(false)
    expect(one.waits).toEqual(['Cannot ask the fake: it is down'])
    cluster.before = () => undefined
    await late.advance(6 * SECOND)
    expect(one.inCharge).toBe(true)
    cluster.before = () => Promise.reject(failure('kubernetes_failed', 'it is down'))
    await late.advance(MINUTE)
    expect(one.inCharge).toBe(true)
  })

  test('doubt ends the term, and the next one begins at once', async () => {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(SECOND)
    one.lease.doubt('the identity was changed by somebody else')
    expect(one.inCharge).toBe(false)
    await one.owned?.release()
    void one.acquire()
    await advance(SECOND)
    expect(one.inCharge).toBe(true)
  })
})

describe('what keeps one from beginning', () => {
  test('is named with all other missing rights, and it begins when they are given', async () => {
    const { replica, advance, cluster } = scene()
    const rights = [
      ...leaseRights(PLACE.namespace, PLACE.name),
      { verb: 'list', resource: PODS, namespace: 'kyma-system' },
    ]
    const one = replica('pod-a_1', { rights })
    one.kubernetes.forbidden
      .add('get leases')
      .add('patch leases')
      .add('create leases')
      .add('list pods')
    await advance(20 * SECOND)
    expect(one.waits).toEqual([
      'Cannot work in this cluster: the service account may not get, patch leases.coordination.k8s.io kyma-system/runtime-agent; create leases.coordination.k8s.io in kyma-system; list pods in kyma-system',
    ])
    expect(cluster.objects.size).toBe(0)
    one.kubernetes.forbidden.clear()
    await advance(6 * SECOND)
    expect(one.inCharge).toBe(true)
  })

  test('may be what it must prepare: it leaves the Lease to others meanwhile', async () => {
    const { replica, advance, spec } = scene()
    let trouble: Error | undefined = failure('kubernetes_failed', 'no state yet')
    const prepare = (): Promise<void> => (trouble ? Promise.reject(trouble) : Promise.resolve())
    const one = replica('pod-a_1', { prepare })
    await advance(2 * SECOND)
    expect(one.waits).toEqual(['Cannot ask the fake: no state yet'])
    expect(spec()['holderIdentity']).toBeUndefined()
    const two = replica('pod-b_2')
    await advance(2 * SECOND)
    expect(two.inCharge).toBe(true)
    await two.owned?.release()
    trouble = undefined
    await advance(6 * SECOND)
    expect(one.inCharge).toBe(true)
  })

  test('tending goes on every five minutes, and not after the end', async () => {
    const { replica, advance } = scene()
    let tended = 0
    const tend = (): Promise<void> => {
      tended += 1
      return Promise.reject(failure('kubernetes_failed', 'it is down'))
    }
    const one = replica('pod-a_1', { tend })
    await advance(16 * MINUTE)
    expect([one.inCharge, tended]).toEqual([true, 3])
    await one.owned?.release()
    await advance(16 * MINUTE)
    expect(tended).toBe(3)
  })

  test('long preparation is renewed all the while', async () => {
    const { replica, advance } = scene()
    const gate = Promise.withResolvers<undefined>()
    const one = replica('pod-a_1', { prepare: () => gate.promise })
    const two = replica('pod-b_2')
    await advance(MINUTE)
    expect([one.inCharge, two.inCharge]).toEqual([false, false])
    gate.resolve(undefined)
    await settle()
    expect(one.inCharge).toBe(true)
  })

  test('is not waited for when the agent is asked to end', async () => {
    const { replica, advance } = scene()
    const one = replica('pod-a_1')
    await advance(250)
    const two = replica('pod-b_2')
    await advance(SECOND)
    two.end.abort()
    await advance(250)
    expect(two.failed).toBeInstanceOf(Error)
    expect([one.inCharge, two.owned]).toEqual([true, undefined])
  })
})
