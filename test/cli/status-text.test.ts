import { expect, test } from 'bun:test'
import { statusText } from '../../src/cli/status-text.ts'
import { statusFixture } from '../server/status.fixture.ts'

test('what comes from outside makes no line of its own and steers no terminal', () => {
  const hostile = 'x\u001b[2J\n\u202eproblem: none'
  const text = statusText(statusFixture({ runtimeId: hostile }), 0, true)
  expect(text).toContain('x\\u001b[2J\\n\\u202eproblem: none')
  expect(text).not.toContain(hostile)
})

test('a standby says who is in charge, and nothing that it does not know', () => {
  const why = 'another replica is in charge: agent-1_00'
  const status = statusFixture({ standby: true, why })
  expect(statusText(status, status.at, true)).toBe(`default  idle: ${why}  (running)`)
})

test('what is being worked on is shown with how long it has taken', () => {
  const at = statusFixture().at
  const running = [{ part: 'target files', state: 'sync' as const, since: at - 130_000 }]
  expect(statusText(statusFixture({ running }), at, true)).toMatch(
    /working on +target files, for 2m 10s/,
  )
})
