import { describe, expect, test } from 'bun:test'
import { configOf, problemsOf } from './agent.ts'

const named = (yaml: string, env: Record<string, string> = {}) =>
  configOf(`version: 1\nlabels: {custom: {v: ${yaml}}}`, env).labels.custom['v']

describe('${VAR}', () => {
  test('is replaced in plain, quoted and block texts, more than once', () => {
    const env = { A: 'one', B_2: 'two' }
    expect(named('"${A}-${B_2}-${A}"', env)).toBe('one-two-one')
    expect(named("'${A}'", env)).toBe('one')
    const block = 'version: 1\nlabels:\n  custom:\n    v: |\n      x ${A}\n    w: ${B_2}'
    expect(configOf(block, env).labels.custom).toEqual({ v: 'x one\n', w: 'two' })
  })

  test('$${ stands for ${, and any other $ for itself', () => {
    expect(named('"$${A} $A $$ $"', { A: 'x' })).toBe('${A} $A $$ $')
  })

  test('what a variable holds stays text: no structure, no second replacement', () => {
    const evil = '{a: 1}\nb: [x]\n# ${B} *alias'
    expect(named('"${A}"', { A: evil, B: 'no' })).toBe(evil)
    expect(named('"${A}"', { A: '5' })).toBe('5')
    expect(named('"${A}"', { A: 'true' })).toBe('true')
  })

  test('may be empty', () => {
    expect(named('"x${A}"', { A: '' })).toBe('x')
  })

  test('becomes a number or a truth value where the schema wants one', () => {
    const text =
      'version: 1\nguard: {ordinary: {percent: "${P}"}}\ninsecureSkipVerify: ${I}\nname: ${N}'
    const config = configOf(text, { P: '35', I: 'true', N: '7' })
    expect(config.guard.ordinary.percent).toBe(35)
    expect(config.insecureSkipVerify).toBe(true)
    expect(config.name).toBe('7')
  })

  test('that holds something else is judged as such, and not shown', () => {
    const problems = problemsOf('version: 1\ninsecureSkipVerify: ${A}\nname: ${A}', { A: 'S3CRET' })
    expect(problems).toEqual([
      '2:21: insecureSkipVerify: found "${A}", want true or false',
      '3:7: name: found "${A}", want a name of lower-case letters, digits and -, at most 63',
    ])
  })

  test('that is not set is one problem at its place', () => {
    expect(problemsOf('version: 1\ndirector:\n  interval: ${NOPE}')).toEqual([
      '3:13: director.interval: the variable NOPE is not set',
    ])
  })

  test('that is written wrongly is a problem', () => {
    const wrong = 'found ${ without a variable, want ${NAME}, or $${ for the characters ${'
    expect(problemsOf('version: 1\nname: ${A:-b}')).toEqual([`2:7: name: ${wrong}`])
    expect(problemsOf('version: 1\nname: a${')).toEqual([`2:7: name: ${wrong}`])
  })

  test('is not replaced in keys', () => {
    expect(problemsOf('version: 1\n"${A}": 1', { A: 'name' })).toHaveLength(1)
  })
})
