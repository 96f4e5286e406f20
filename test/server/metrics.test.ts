import { describe, expect, test } from 'bun:test'
import { renderMetrics } from '../../src/server/metrics.ts'
import { refusedProblem, statusFixture } from './status.fixture.ts'

const usage = { memory: 64_000_000, cpu: 1500 }

const LINE =
  /^[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? -?\d+(\.\d+)?(e[+-]?\d+)?$/

describe('the metrics', () => {
  test('are lines of the Prometheus text format, each metric with help and type', () => {
    const lines = renderMetrics(
      statusFixture({ problems: [refusedProblem], clockSkew: -2500 }),
      usage,
    )
      .trimEnd()
      .split('\n')
    const samples = lines.filter((line) => !line.startsWith('#'))
    for (const line of samples) expect(line).toMatch(LINE)
    const names = new Set(samples.map((line) => /^[a-z_]+/.exec(line)?.[0]))
    for (const name of names)
      expect(lines.filter((line) => line.startsWith(`# TYPE ${name} `))).toHaveLength(1)
  })

  test('tell the end of the certificate as an absolute time in seconds', () => {
    const status = statusFixture()
    const text = renderMetrics(status, usage)
    expect(text).toContain(
      `agent_identity_not_after_timestamp_seconds ${(status.identity?.notAfter ?? 0) / 1000}\n`,
    )
  })

  test('count problems by code and by whose turn it is', () => {
    const text = renderMetrics(statusFixture({ problems: [refusedProblem, refusedProblem] }), usage)
    expect(text).toContain('agent_problems{code="token_refused",turn="operator"} 2\n')
  })

  test('show exactly one state', () => {
    const states = renderMetrics(statusFixture({ state: 'renew' }), usage).match(
      /agent_state\{state="\w+"\} 1/g,
    )
    expect(states).toEqual(['agent_state{state="renew"} 1'])
  })

  test('escape label values', () => {
    const hostile = 'a"b\\c\nd'
    expect(renderMetrics(statusFixture({ name: hostile }), usage)).toContain(
      'name="a\\"b\\\\c\\nd"',
    )
  })

  test('leave out what is not known instead of inventing a number', () => {
    const { identity: _, clockSkew: __, ...rest } = statusFixture()
    const failing = {
      ...rest,
      sources: [{ name: 'director' as const, nextAt: Infinity, failures: 3 }],
    }
    const text = renderMetrics(failing, usage)
    expect(text).not.toContain('agent_identity')
    expect(text).not.toContain('agent_source_last_success')
    expect(text).not.toContain('Infinity')
    expect(text).toContain('agent_source_failures{source="director"} 3\n')
  })
})
