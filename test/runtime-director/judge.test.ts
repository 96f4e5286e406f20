import { describe, expect, test } from 'bun:test'
import { formatProblem } from '../../src/config/problem.ts'
import { judge } from '../../src/runtime-director/judge.ts'
import type { DesiredState } from '../../src/runtime-director/state.ts'
import { differenceOf, viewOf } from '../../src/runtime-director/view.ts'

type Files = Record<string, string>

const SECRETS: Record<string, string> = { pw: 'hunter2' }
const RUNTIMES: Files = {
  'runtimes/a.yaml': 'id: a\ngroups: [vm]\nlabels: {region: eu, size: "1"}\n',
  'runtimes/b.yaml': 'id: b\ngroups: [vm, big]\nlabels: {region: us}\n',
}

async function judged(files: Files, admitted: [string, string][] = []) {
  const all = Object.entries({ ...RUNTIMES, ...files }).map(([path, text]) => ({ path, text }))
  return judge(all, { admitted: new Map(admitted), secret: (name) => SECRETS[name] })
}

async function problems(files: Files, admitted: [string, string][] = []): Promise<string[]> {
  return ((await judged(files, admitted)).problems ?? []).map(formatProblem)
}

async function state(files: Files): Promise<DesiredState> {
  const found = await judged(files)
  if (found.state === undefined) throw new Error(found.problems.map(formatProblem).join('\n'))
  return found.state
}

/** The names of what a runtime gets, and the documents themselves. */
async function gets(files: Files, id: string): Promise<Record<string, unknown>[]> {
  const { body } = viewOf(1, await state(files)).answer(id) ?? { body: '{"data":{"resources":[]}}' }
  return JSON.parse(body).data.resources
}

const component = (name: string, more = '', match = 'all: true'): string =>
  `match: {${match}}\nresources:\n  - apiVersion: dapr.io/v1alpha1\n    kind: Component\n    metadata: {name: ${name}${more}}\n    spec: {type: x, list: [1, 2], deep: {a: 1, b: 2}}\n`

const overlay = (patch: string, match = 'all: true', order = 0): string =>
  `match: {${match}}\norder: ${order}\npatch:\n  - apiVersion: dapr.io/v1alpha1\n    kind: Component\n    metadata: {name: one}\n    ${patch}\n`

describe('a runtime gets', () => {
  const matches: [string, string[]][] = [
    ['all: true', ['a', 'b']],
    ['runtimes: [a]', ['a']],
    ['groups: [big]', ['b']],
    ['groups: [big, vm]', ['a', 'b']],
    ['labels: {region: eu}', ['a']],
    ['labels: {region: [eu, us]}', ['a', 'b']],
    ['labels: {region: eu, size: "1"}', ['a']],
    ['groups: [big], labels: {region: eu}', []],
  ]
  test.each(matches)('what matches it: %s', async (match, ids) => {
    const files = { 'configurations/one.yaml': component('one', '', match) }
    const found = await Promise.all(['a', 'b'].map((id) => gets(files, id)))
    expect(['a', 'b'].filter((_, i) => found[i]!.length > 0)).toEqual(ids)
  })

  test('overlays over it in their order, merged as RFC 7396 says', async () => {
    const files = {
      'configurations/one.yaml': component('one'),
      'overlays/late.yaml': overlay('spec: {type: late, deep: {c: 3}}', 'all: true', 2),
      'overlays/early.yaml': overlay(
        'spec: {type: early, list: [9], deep: {a: null}}',
        'all: true',
        1,
      ),
      'overlays/other.yaml': overlay('spec: {type: no}', 'runtimes: [b]', 3),
    }
    expect((await gets(files, 'a'))[0]!['spec']).toEqual({
      type: 'late',
      list: [9],
      deep: { b: 2, c: 3 },
    })
    expect((await gets(files, 'b'))[0]!['spec']).toMatchObject({ type: 'no' })
  })

  test('secrets in the place of their names, wherever a text may stand, and no other mapping of that key', async () => {
    const text = component('one').replace(
      'type: x',
      'type: {secretRef: pw}, from: [{secretRef: {name: pw}}], keep: "${HOME}"',
    )
    const [found] = await gets({ 'configurations/one.yaml': text }, 'a')
    expect(found!['spec']).toMatchObject({
      type: 'hunter2',
      from: [{ secretRef: { name: 'pw' } }],
      keep: '${HOME}',
    })
  })

  test('the same bytes from the same files, whatever their order', async () => {
    const files = {
      'configurations/b.yaml': component('one'),
      'configurations/a.yaml': component('two'),
    }
    const [one, two] = [
      viewOf(1, await state(files)),
      viewOf(2, await state(Object.fromEntries(Object.entries(files).reverse()))),
    ]
    expect(one.answer('a')).toEqual(two.answer('a'))
    expect(differenceOf(one, two)).toEqual({ added: [], removed: [], changed: [], emptied: [] })
  })
})

describe('nothing is published, and the place is named, when', () => {
  const big = 'x'.repeat(61_440)
  const cases: [string, Files, string[]][] = [
    [
      'a key is unknown',
      { 'runtimes/a.yaml': 'id: a\nidentites: [x]' },
      ['runtimes/a.yaml:2:1: identites: unknown key, did you mean identities?'],
    ],
    [
      'an id is not the name of the file',
      { 'runtimes/c.yaml': 'id: d' },
      ['runtimes/c.yaml:1:5: id: found "d", want "c", as the file is called'],
    ],
    [
      'a certificate is listed twice',
      { 'runtimes/a.yaml': 'id: a\nidentities: [x]', 'runtimes/b.yaml': 'id: b\nidentities: [x]' },
      ['runtimes/b.yaml:2:14: identities[0]: "x" stands in runtimes/a.yaml already'],
    ],
    [
      'a group is unknown',
      { 'configurations/x.yaml': component('one', '', 'groups: [bigg]') },
      ['configurations/x.yaml:1:18: match.groups[0]: there is no group "bigg", did you mean big?'],
    ],
    [
      'a runtime is unknown',
      { 'configurations/x.yaml': component('one', '', 'runtimes: [zz]') },
      ['configurations/x.yaml:1:20: match.runtimes[0]: there is no runtime "zz"'],
    ],
    [
      'a match is empty',
      { 'configurations/x.yaml': component('one', '', '') },
      [
        'configurations/x.yaml:1:8: match: found an empty section, want at least one of runtimes, groups, labels, or all: true',
      ],
    ],
    [
      'all is not alone',
      { 'configurations/x.yaml': component('one', '', 'all: true, groups: [vm]') },
      [
        'configurations/x.yaml:1:8: match: found a section with all, groups, want all: true alone, or the other keys',
      ],
    ],
    [
      'a secret is missing',
      { 'configurations/x.yaml': component('one').replace('type: x', 'type: {secretRef: nope}') },
      ['configurations/x.yaml:6:30: resources[0].spec.type.secretRef: there is no secret "nope"'],
    ],
    [
      'two documents are one object',
      {
        'configurations/x.yaml': component('one'),
        'configurations/y.yaml': component('one').replace('v1alpha1', 'v1beta1'),
      },
      [
        'configurations/y.yaml:3:5: resources[0]: runtime a would get Component one twice: it stands in configurations/x.yaml, resources[0], too',
      ],
    ],
    [
      'a document is too large',
      { 'configurations/x.yaml': component('one').replace('type: x', `type: ${big}`) },
      [
        `configurations/x.yaml:3:5: resources[0]: has ${61_440 + 131} bytes for runtime a, want less than 61440`,
      ],
    ],
    [
      'a patch fits nothing',
      { 'configurations/x.yaml': component('two'), 'overlays/o.yaml': overlay('spec: {}') },
      [
        'overlays/o.yaml:4:5: patch[0]: no runtime of this overlay has Component one of dapr.io/v1alpha1',
      ],
    ],
    [
      'a document says not what it is',
      { 'configurations/x.yaml': 'match: {all: true}\nresources: [{kind: x}, 7]' },
      [
        'configurations/x.yaml:2:13: resources[0].apiVersion: missing, want a version such as dapr.io/v1alpha1',
        'configurations/x.yaml:2:13: resources[0].metadata.name: missing, want a name of lower-case letters, digits, . and -',
        'configurations/x.yaml:2:20: resources[0].kind: found "x", want a kind such as Component',
        'configurations/x.yaml:2:24: resources[1]: found 7, want a document with apiVersion, kind and metadata.name',
      ],
    ],
    [
      'a number is none in JSON',
      { 'configurations/x.yaml': component('one').replace('type: x', 'type: .nan') },
      ['configurations/x.yaml:6:18: resources[0].spec.type: found .nan, want a finite number'],
    ],
    [
      'a key would reach into JavaScript',
      { 'configurations/x.yaml': component('one').replace('type: x', '__proto__: {a: 1}') },
      ['configurations/x.yaml:6:12: resources[0].spec.__proto__: this key cannot be used'],
    ],
    [
      'a name leads elsewhere',
      { 'configurations/x.yaml': component('../../etc/passwd') },
      [
        'configurations/x.yaml:5:22: resources[0].metadata.name: found "../../etc/passwd", want a name of lower-case letters, digits, . and -',
      ],
    ],
    [
      'an alias stands for itself',
      { 'configurations/x.yaml': 'match: &m {all: *m}\nresources: []' },
      ['configurations/x.yaml:1:17: *m refers to nothing that stands before it'],
    ],
    [
      'a file is empty',
      { 'runtimes/c.yaml': '' },
      ['runtimes/c.yaml:1:1: holds nothing, want at least an id'],
    ],
    [
      'it is no YAML',
      { 'runtimes/c.yaml': '{{{' },
      [
        'runtimes/c.yaml:1:4: not valid YAML: unexpected end of the stream within a flow collection',
      ],
    ],
  ]
  test.each(cases)('%s', async (_what, files, wanted) => {
    const found = await problems(files)
    expect(found.slice(0, wanted.length)).toEqual(wanted)
  })

  test('a certificate is admitted for another runtime', async () => {
    expect(await problems({ 'runtimes/a.yaml': 'id: a\nidentities: [x]' }, [['x', 'b']])).toContain(
      'runtimes/a.yaml:2:14: identities[0]: "x" is admitted for runtime b; take that back first',
    )
  })

  test('all of it is said at once', async () => {
    const files = {
      'configurations/x.yaml': component('one', '', 'groups: [q]').replace(
        'type: x',
        'type: {secretRef: q}',
      ),
      'runtimes/c.yaml': 'id: d',
    }
    expect(await problems(files)).toHaveLength(3)
  })

  test('a YAML bomb would fill the memory', async () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 1; i < 9; i += 1)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      )
    const begin = performance.now()
    const found = await problems({ 'configurations/x.yaml': `${lines.join('\n')}\n` })
    expect(found.join('\n')).toContain('makes the document larger than 20000 values')
    expect(performance.now() - begin).toBeLessThan(2000)
  })

  test('it is nested without end', async () => {
    const text = `match: {all: true}\nresources: ${'['.repeat(5000)}`
    expect((await problems({ 'configurations/x.yaml': text })).length).toBeGreaterThan(0)
  })
})

test('what a change means is told in runtimes', async () => {
  const before = viewOf(
    1,
    await state({ 'configurations/x.yaml': component('one', '', 'groups: [vm]') }),
  )
  const files = {
    'configurations/x.yaml': component('one', '', 'runtimes: [a]').replace('type: x', 'type: y'),
    'runtimes/c.yaml': 'id: c',
  }
  expect(differenceOf(before, viewOf(2, await state(files)))).toEqual({
    added: ['c'],
    removed: [],
    changed: ['a', 'b'],
    emptied: ['b'],
  })
})
