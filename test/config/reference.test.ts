import { describe, expect, test } from 'bun:test'
import { agentReference, directorReference } from '../../src/config/reference.ts'

const page = new URL('../../docs/reference/agent-yaml.md', import.meta.url)
const directorPage = new URL('../../docs/reference/director-yaml.md', import.meta.url)

describe('reference', () => {
  test('docs/reference/agent-yaml.md is what the schema prints', async () => {
    if (process.env['UPDATE_REFERENCE'] === '1') await Bun.write(page, agentReference())
    expect(await Bun.file(page).text()).toBe(agentReference())
  })

  test('docs/reference/director-yaml.md is what the schemas print', async () => {
    if (process.env['UPDATE_REFERENCE'] === '1') await Bun.write(directorPage, directorReference())
    expect(await Bun.file(directorPage).text()).toBe(directorReference())
  })

  test.each([
    ['agent.yaml', agentReference()],
    ['director.yaml', directorReference()],
  ])('no row of %s lacks its meaning', (_name, text) => {
    const rows = text.split('\n').filter((line) => line.startsWith('| `'))
    expect(rows.length).toBeGreaterThan(30)
    expect(rows.filter((row) => / \|\s*\|$/.test(row))).toEqual([])
  })
})
