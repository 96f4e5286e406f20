import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'bun:test'
import { PROBLEMS } from '../../src/model/problem.ts'
import { ROOT, filesBelow } from '../source.ts'

const page = new URL('../../docs/reference/problems.md', import.meta.url)

const HEAD = `# Problems

Every message of the agent says what cannot be done, to what and why, and carries one of these codes: in the log, in
\`agent status\`, on the status page and in the metric \`agent_problems\`. The codes are stable. This page is printed from
src/model/problem.ts; \`UPDATE_REFERENCE=1 bun test test/model\` prints it again.

- **again**: the agent tries again by itself, soon and then ever more rarely, five minutes apart at most.
- **person**: someone must act; the agent looks for the change every five seconds and tries the rest rarely.
- **end**: the command ends.

| code | then | whose turn | what to do |
|---|---|---|---|
`
const THEN = { retry: 'again', operator: 'person', stop: 'end' } as const

function problemsPage(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { class: kind, turn, hint }]) =>
      `| \`${code}\` | ${THEN[kind]} | ${turn} | ${hint} |\n`,
  )
  return HEAD + rows.join('')
}

test('docs/reference/problems.md is what the table of problems prints', async () => {
  if (process.env['UPDATE_REFERENCE'] === '1') await Bun.write(page, problemsPage())
  expect(await Bun.file(page).text()).toBe(problemsPage())
})

test('every code is thrown or reported somewhere: a code that cannot happen helps nobody', () => {
  const sources = filesBelow('src').filter((file) => !file.endsWith('model/problem.ts'))
  const text = sources.map((file) => readFileSync(join(ROOT, file), 'utf8')).join('\n')
  expect(Object.keys(PROBLEMS).filter((code) => !text.includes(`'${code}'`))).toEqual([])
})
