import { problem } from '../../src/model/problem.ts'
import type { Status } from '../../src/model/status.ts'

const now = Date.UTC(2026, 10, 21, 12)

/** A healthy agent in step; `change` says what differs. */
export function statusFixture(change: Partial<Status> = {}): Status {
  return {
    version: '1.2.3',
    name: 'default',
    pid: 42,
    startedAt: now - 60_000,
    at: now,
    state: 'idle',
    why: 'nothing is due',
    nextAt: now + 30_000,
    standby: false,
    paused: false,
    runtimeId: 'runtime-1',
    connectorUrl: 'https://connector.example/graphql',
    directorUrl: 'https://director.example/graphql',
    identity: {
      fingerprint: 'ab'.repeat(32),
      subject: 'CN=auth-1,O=Org',
      notBefore: now - 1000,
      notAfter: now + 90_000,
      renewAt: now + 60_000,
      condition: 'valid',
    },
    token: 'spent',
    running: [],
    sources: [
      {
        name: 'director',
        nextAt: now + 30_000,
        failures: 0,
        lastAttempt: now,
        lastSuccess: now,
        applications: 1,
        bundles: 2,
        requests: 1,
      },
    ],
    targets: [
      {
        name: 'files',
        kind: 'files',
        nextAt: now + 30_000,
        failures: 0,
        lastSuccess: now,
        objects: 3,
        changes: 0,
      },
    ],
    labels: [
      {
        key: 'runtime_consoleUrl',
        wanted: 'https://console.example',
        current: 'https://console.example',
        inStep: true,
      },
    ],
    applications: [{ id: 'app-1', name: 'mp-crm', bundles: 2, condition: 'synced', problems: [] }],
    failing: {},
    problems: [],
    history: [{ at: now, level: 'info', message: 'enrolled' }],
    insecure: false,
    ...change,
  }
}

export const fixtureNow = now
export const refusedProblem = problem('token_refused', 'Cannot enrol: the token was refused')
