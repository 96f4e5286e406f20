import { describe, expect, test } from 'bun:test'
import { deriveId, landscapeOf } from '../../src/devplane/landscape.ts'
import { parseLandscape, readLandscape } from '../../src/devplane/landscape-file.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { SAMPLE_LANDSCAPE } from '../../src/devplane/landscape-sample.ts'

describe('landscape file', () => {
  test('the sample is read without a problem and holds each kind of credentials', () => {
    const { landscape, problems } = readLandscape(SAMPLE_LANDSCAPE, 'sample.yaml')
    expect(problems).toEqual([])
    const bundles = landscape!.applications.flatMap(({ bundles }) => bundles)
    expect(landscape!.applications.map(({ name }) => name)).toEqual([
      'Commerce Cloud',
      'ERP Production',
      'CRM',
      'Public Holidays',
    ])
    expect(bundles.map(({ auth }) => auth?.credential?.type)).toEqual([
      'oauth',
      'oauth',
      'basic',
      undefined,
      undefined,
    ])
    expect(bundles[2]!.auth?.queryParams).toEqual({ 'sap-client': ['100'] })
    expect(bundles[2]!.auth?.csrf?.tokenUrl).toContain('$metadata')
    expect(bundles[3]!.auth?.headers).toEqual({ 'X-Api-Key': ['sample-crm-key'] })
    expect(bundles[4]!.auth).toBeUndefined()
  })

  test('ids come from names, the same at each reading, and survive changes elsewhere', () => {
    const before = parseLandscape(SAMPLE_LANDSCAPE)
    const after = parseLandscape(SAMPLE_LANDSCAPE.replace('Web shop of', 'Shop of'))
    expect(after.applications.map(({ id }) => id)).toEqual(before.applications.map(({ id }) => id))
    const all = JSON.stringify(before).match(/[0-9a-f-]{36}/g)!
    expect(
      all.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id)),
    ).toBe(true)
  })

  test('two bundles of one name get ids of their own', () => {
    const [application] = parseLandscape(
      'applications: [{name: a, bundles: [{name: b}, {name: b}]}]',
    ).applications
    const [one, two] = application!.bundles
    expect(one!.id).not.toBe(two!.id)
  })

  test('given ids are kept', () => {
    const id = '0d6b3f0c-1111-4222-8333-444455556666'
    expect(parseLandscape(`applications: [{name: a, id: ${id}}]`).applications[0]!.id).toBe(id)
  })

  test('all problems are listed at once, each with line, column and what is wanted', () => {
    const { landscape, problems } = readLandscape(
      [
        'tennant: x',
        'applications:',
        '  - name: [a]',
        '  - name: CRM',
        '    id: 7',
        '    hidden: maybe',
        '  - name: crm',
        '    bundles:',
        '      - auth: {basic: {username: u}, oauth: {}}',
        '        apis: [{name: x}]',
      ].join('\n'),
      'l.yaml',
    )
    expect(landscape).toBeUndefined()
    expect(problems).toEqual([
      'l.yaml:1:1: unknown key "tennant", did you mean "tenant"?',
      'l.yaml:3:11: applications[0].name: found a list, want text',
      'l.yaml:5:9: applications[1].id: found "7", want a UUID in lower case',
      'l.yaml:6:13: applications[1].hidden: found "maybe", want true or false',
      'l.yaml:7:5: applications[2]: the name becomes "mp-crm" as that of applications[1]: give one of them a systemNumber',
      'l.yaml:9:9: applications[2].bundles[0]: name is missing',
      'l.yaml:9:15: applications[2].bundles[0].auth: found basic and oauth, want one of them',
      'l.yaml:9:23: applications[2].bundles[0].auth.basic: password is missing',
      'l.yaml:10:16: applications[2].bundles[0].apis[0]: targetUrl is missing',
    ])
  })

  test('broken YAML and nothing at all are named problems', () => {
    expect(readLandscape('a: [', 'l.yaml').problems[0]).toContain('l.yaml:1:5: not valid YAML')
    expect(readLandscape('', 'l.yaml').problems).toEqual(['l.yaml:1:1: there is nothing in it'])
    expect(() => parseLandscape('x: 1', 'l.yaml')).toThrow(
      'Cannot use the landscape:\n  l.yaml:1:1',
    )
  })

  test('a landscape without runtimes has one, in the default formation as all applications', () => {
    const { runtimes, applications } = parseLandscape('applications: [{name: a}]')
    expect(runtimes.map(({ name }) => name)).toEqual(['dev'])
    expect(applications[0]!.formations).toEqual(runtimes[0]!.formations)
    expect(landscapeOf([]).runtimes[0]!.id).toBe(runtimes[0]!.id)
  })
})

describe('makeLandscape()', () => {
  test('gives the numbers asked for, the same at each call, every id once', () => {
    const size = {
      applications: 20,
      bundles: 3,
      apis: 2,
      events: 1,
      largest: { bundles: 30, apis: 40, events: 50 },
    }
    const landscape = makeLandscape(size)
    const ids = JSON.stringify(landscape).match(/"id":"[^"]+"/g)!
    expect(new Set(ids).size).toBe(ids.length)
    expect(landscape.applications.map(({ bundles }) => bundles.length)).toEqual([
      30,
      ...Array<number>(19).fill(3),
    ])
    expect(landscape.applications[0]!.bundles[0]!.apis).toHaveLength(40)
    expect(landscape.applications[0]!.bundles[0]!.events).toHaveLength(50)
    expect(landscape.applications[0]!.bundles[1]!.apis).toHaveLength(2)
    expect(makeLandscape(size)).toEqual(landscape)
  })

  test('derived ids are UUIDs and differ by kind', () => {
    expect(deriveId('a', 'x')).not.toBe(deriveId('b', 'x'))
    expect(deriveId('a', 'x')).toBe(deriveId('a', 'x'))
  })
})
