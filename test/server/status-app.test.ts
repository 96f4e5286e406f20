import { describe, expect, test } from 'bun:test'
import type { Status } from '../../src/model/status.ts'
import { MINUTE } from '../../src/model/time.ts'
import { hostRule } from '../../src/server/host-rule.ts'
import { statusApp } from '../../src/server/status-app.ts'
import { fixtureNow, refusedProblem, statusFixture } from './status.fixture.ts'
import { problem } from '../../src/model/problem.ts'

const usage = () => ({ memory: 1, cpu: 1 })

function open(status: Status | undefined, heartbeat = fixtureNow) {
  const view = { now: () => fixtureNow, status: () => status, heartbeat: () => heartbeat, usage }
  const app = statusApp(view, hostRule('127.0.0.1'))
  return (path: string, init: RequestInit = {}) =>
    app.request(path, {
      ...init,
      headers: { host: '127.0.0.1:8090', ...(init.headers as Record<string, string>) },
    })
}

describe('the status endpoint', () => {
  test('is alive while the loop gives signs of life, and not when it is stuck', async () => {
    expect((await open(statusFixture())('/livez')).status).toBe(200)
    expect((await open(statusFixture(), fixtureNow - 4 * MINUTE)('/livez')).status).toBe(503)
  })

  test('answers the probes of the Go agent with a word on how it is', async () => {
    const troubled = statusFixture({ problems: [refusedProblem], why: 'waits for a token' })
    const answer = await open(troubled)('/healthz')
    expect([answer.status, await answer.text()]).toEqual([
      200,
      'ok, idle: waits for a token; problems: 1\n',
    ])
    expect((await open(undefined)('/healthz')).status).toBe(200)
    expect((await open(troubled, fixtureNow - 4 * MINUTE)('/healthz')).status).toBe(503)
  })

  test('is alive before there is anything to report, but not ready', async () => {
    expect((await open(undefined)('/livez')).status).toBe(200)
    expect((await open(undefined)('/readyz')).status).toBe(503)
    expect((await open(undefined)('/')).status).toBe(503)
  })

  test('is ready once there is an identity and every target was in step once', async () => {
    expect((await open(statusFixture())('/readyz')).status).toBe(200)
    const { identity: _, ...without } = statusFixture()
    expect((await open(without)('/readyz')).status).toBe(503)
    const never = statusFixture({
      targets: [{ name: 'files', kind: 'files', nextAt: 0, failures: 0 }],
    })
    expect((await open(never)('/readyz')).status).toBe(503)
  })

  test('stays ready, as degraded, when problems come later: what is deployed goes on working', async () => {
    const answer = await open(statusFixture({ problems: [refusedProblem] }))('/readyz')
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({
      ready: true,
      degraded: true,
      reasons: [refusedProblem.message],
    })
  })

  test('a standby is ready, and says for whom it stands by', async () => {
    const standby = statusFixture({ standby: true, targets: [], why: 'agent-1 holds the Lease' })
    const answer = await open(standby)('/readyz')
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('standby: agent-1 holds the Lease')
  })

  test('a standby that lacks a right is not ready: no rollout may take it for good', async () => {
    const problems = [problem('kubernetes_forbidden', 'Cannot work in this cluster: no rights')]
    const why = problems[0]!.message
    const barred = statusFixture({ standby: true, targets: [], why, problems })
    const answer = await open(barred)('/readyz')
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { ready: false, degraded: true, reasons: [`standby: ${why}`] },
    ])
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])(
    'refuses %s: it changes nothing',
    async (method) => {
      expect((await open(statusFixture())('/status', { method })).status).toBe(405)
    },
  )

  test.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:8090', ''])(
    'refuses the foreign Host %p (DNS rebinding)',
    async (host) => {
      expect((await open(statusFixture())('/status', { headers: { host } })).status).toBe(421)
    },
  )

  test.each(['localhost', 'localhost:8090', '127.0.0.1', '[::1]:8090', '10.1.2.3:8090'])(
    'serves the Host %p',
    async (host) => {
      expect((await open(statusFixture())('/status', { headers: { host } })).status).toBe(200)
    },
  )

  test('the page shows state, identity, applications, problems and whose turn it is', async () => {
    const page = await (await open(statusFixture({ problems: [refusedProblem] }))('/')).text()
    for (const text of [
      'idle',
      'nothing is due',
      'mp-crm',
      'runtime-1',
      refusedProblem.message,
      'whose turn: operator',
    ]) {
      expect(page).toContain(text)
    }
  })

  test('the page escapes what comes from outside', async () => {
    const hostile = {
      id: 'x',
      name: '<script>alert(1)</script>',
      bundles: 0,
      condition: 'synced',
      problems: [],
    } as const
    const page = await (
      await open(statusFixture({ applications: [{ ...hostile, problems: [] }] }))('/')
    ).text()
    expect(page).not.toContain('<script>')
    expect(page).toContain('&lt;script&gt;')
  })

  test('every answer forbids framing, scripts and caching', async () => {
    for (const path of ['/', '/status', '/metrics', '/nowhere']) {
      const { headers } = await open(statusFixture())(path)
      expect(headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(headers.get('cache-control')).toBe('no-store')
    }
  })
})
