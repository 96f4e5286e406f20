import { expect, test } from 'bun:test'
import { statusText } from '../../src/cli/status-text.ts'
import { statusFixture } from '../server/status.fixture.ts'

test('what comes from outside makes no line of its own and steers no terminal', () => {
  const hostile = 'x\u001b[2J\n\u202eproblem: none'
  const text = statusText(statusFixture({ runtimeId: hostile }), 0, true)
  expect(text).toContain('x\\u001b[2J\\n\\u202eproblem: none')
  expect(text).not.toContain(hostile)
})
