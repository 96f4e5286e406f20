import { describe, expect, test } from 'bun:test'
import { agentReference } from '../../src/config/reference.ts'

const page = new URL('../../docs/reference/agent-yaml.md', import.meta.url)

describe('reference', () => {
  test('docs/reference/agent-yaml.md is what the schema prints', async () => {
    if (process.env['UPDATE_REFERENCE'] === '1') await Bun.write(page, agentReference())
    expect(await Bun.file(page).text()).toBe(agentReference())
  })

  test('no row lacks its meaning', () => {
    const rows = agentReference()
      .split('\n')
      .filter((line) => line.startsWith('| `'))
    expect(rows.length).toBeGreaterThan(40)
    expect(rows.filter((row) => / \|\s*\|$/.test(row))).toEqual([])
  })
})
