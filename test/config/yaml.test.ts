import { describe, expect, test } from 'bun:test'
import { problemsOf } from './agent.ts'

describe('YAML', () => {
  test.each([
    ['version: 1\n\tname: a', '2:1: not valid YAML'],
    ['version: 1\nname: [a', '2:9: not valid YAML'],
    ['version: 1\nname: "a', '2:9: not valid YAML'],
    ['version: 1\nname: a: b', '2:8: not valid YAML'],
    ['version: 1\nname: "\\q"', '2:9: not valid YAML'],
    ['version: 1\nname: !!foo a', '2:7: not valid YAML'],
    ['version: 1\n---\nversion: 1', '3:1: a second YAML document begins here, want only one'],
    ['version: 1\nname: a\nname: b', '3:1: duplicate key "name"'],
    ['version: 1\nlog: {level: info, level: debug}', '2:20: duplicate key "level"'],
    ['version: 1\n? [a]\n: b', '2:3: a key must be a word, not a list or section'],
    ['version: 1\nname: *none', '2:7: *none refers to nothing that stands before it'],
    ['version: 1\nname: &a [*a]', '2:11: *a refers to nothing that stands before it'],
    ['version: 1\nname: \u0000', '2:7: not valid YAML'],
    [`version: 1\nname: ${'['.repeat(5000)}`, '2:56: not valid YAML'],
    [`version: 1\nlog: {level: \${LEVEL}}`, '2:15: not valid YAML'],
  ])('%j', (text, problem) => {
    const problems = problemsOf(text)
    expect(problems.filter((line) => line.startsWith(problem))).toHaveLength(1)
  })

  test('says that a variable between braces needs quotes', () => {
    expect(problemsOf('version: 1\nlog: {level: ${LEVEL}}').join()).toContain('needs quotes')
  })

  test('a syntax error does not show the lines around it', () => {
    expect(
      problemsOf('version: 1\nconnector: {token: {value: s3cret}\nlog: {}').join(),
    ).not.toContain('s3cret')
  })

  test('duplicate keys are named together with all other problems', () => {
    expect(problemsOf('version: 1\nname: a\nname: b\nlog: {level: x}')).toHaveLength(2)
  })

  test('an alias bomb is refused at its place, at once, and once', () => {
    const lines = ['version: 1', 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 1; i < 30; i++) {
      const more = Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')
      lines.push(`a${i}: &a${i} [${more}]`)
    }
    const problems = problemsOf(lines.join('\n')).filter((line) =>
      line.includes('makes the document'),
    )
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(/^\d+:\d+: \*a\d makes the document larger than 20000 values$/)
  })
})
