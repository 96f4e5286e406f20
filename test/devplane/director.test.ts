import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { directorName } from '../../src/devplane/names.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { encodeCursor } from '../../src/devplane/paging.ts'
import { enrol, post, type Enrolled, type Json, type Reply } from './client.ts'

const LANDSCAPE = `
runtimes:
  - {name: main, formations: [f], labels: {team: blue}}
  - {name: raw, formations: [f], labels: {isNormalized: "false"}}
  - {name: lonely, formations: []}
  - {name: other, formations: [g]}
applications:
  - name: My App
    formations: [f]
    description: "with \\"quotes\\"\\nand lines"
    bundles:
      - {name: With, auth: {basic: {username: u, password: p}}, apis: [{name: a, targetUrl: "https://x"}, {name: b, targetUrl: "https://x", group: g}]}
      - {name: Without}
      - {name: Empty, auth: {}}
      - {name: Fourth}
  - {name: Numbered, systemNumber: SN/00 42_Ä, formations: [f, g]}
  - {name: Hidden, hidden: true, formations: [f]}
  - {name: Outside, formations: [g], bundles: [{name: Far, auth: {basic: {username: u, password: far}}}]}
`

let plane: Plane
let me: Enrolled

beforeAll(async () => {
  plane = await openPlane({ landscape: parseLandscape(LANDSCAPE) })
  me = await enrol(plane)
})

afterAll(async () => {
  await me.session.close()
  await plane.close()
})

const runtimeId = (name: string): string =>
  plane.landscape.runtimes.find((runtime) => runtime.name === name)!.id
const application = (name: string): Landscape['applications'][number] =>
  plane.landscape.applications.find((one) => one.name === name)!
const bundle = (name: string): Landscape['applications'][number]['bundles'][number] =>
  plane.landscape.applications.flatMap(({ bundles }) => bundles).find((one) => one.name === name)!
const ask = (
  query: string,
  variables: Record<string, unknown> = {},
  as: Enrolled = me,
): Promise<Reply> => post(as.session, plane.directorUrl, { query, variables })
const result = async (query: string, variables: Record<string, unknown> = {}): Promise<Json> =>
  (await ask(query, variables)).json.data.result
const failure = async (
  query: string,
  variables: Record<string, unknown> = {},
): Promise<[number, string, unknown]> => {
  const { status, json } = await ask(query, variables)
  const [{ message, extensions }] = json.errors
  expect(status).toBe(200)
  return [extensions.error_code, message.replace(/errorID=[^,]+/, 'errorID=ID'), json.data]
}
const names = (query: string): Promise<string[]> =>
  result(query).then((page) => page.data.map(({ name }: { name: string }) => name).sort())

describe('who is asked for what', () => {
  test('a runtime sees what shares a formation with it and is not hidden, under normalised names', async () => {
    expect(
      await names(
        `{ result: applicationsForRuntime(runtimeID: "${runtimeId('main')}") { data { name } } }`,
      ),
    ).toEqual(['mp-my-app', 'mp-numbered-SN/00 42_Ä'])
  })

  test('applications and application(id) give raw names, and labels.name is the normalised one', async () => {
    expect(await names('{ result: applications { data { name } } }')).toEqual([
      'My App',
      'Numbered',
    ])
    const one = await result(
      `{ result: application(id: "${application('My App').id}") { name labels description } }`,
    )
    expect(one.name).toBe('My App')
    expect(one.labels.name).toBe('mp-my-app')
    expect(one.description).toBe('with "quotes"\nand lines')
  })

  test('a runtime whose isNormalized is not "true" sees names as they are, with the system number', async () => {
    expect(
      await names(
        `{ result: applicationsForRuntime(runtimeID: "${runtimeId('raw')}") { data { name } } }`,
      ),
    ).toEqual(['My App', 'Numbered-SN/00 42_Ä'])
  })

  test('a runtime may read the applications of another one', async () => {
    const page = await result(
      `{ result: applicationsForRuntime(runtimeID: "${runtimeId('other')}") { totalCount data { bundles { data { defaultInstanceAuth { credential { ... on BasicCredentialData { password } } } } } } } }`,
    )
    expect(page.totalCount).toBe(2)
    expect(JSON.stringify(page)).toContain('far')
  })

  test('an application outside the formation is error 27 with null, known or not', async () => {
    for (const id of [application('Outside').id, '99999999-9999-4999-8999-999999999999']) {
      const [code, message, data] = await failure(`{ result: application(id: "${id}") { name } }`)
      expect([code, data]).toEqual([27, { result: null }])
      expect(message).toStartWith('The operation is not allowed [reason=requesting runtime')
    }
  })

  test('a failing root field takes all data with it', async () => {
    const reply = await ask(
      '{ viewer { id } applicationsForRuntime(runtimeID: "99999999-9999-4999-8999-999999999999") { totalCount } }',
    )
    expect(reply.json.data).toBeNull()
  })

  test('what is no UUID is error 10', async () => {
    const [code, message] = await failure(
      '{ result: applicationsForRuntime(runtimeID: "x") { totalCount } }',
    )
    expect([code, message]).toEqual([
      10,
      'Internal Server Error [errorID=ID, reason: input: result while getting Runtime: pq: invalid input syntax for type uuid: "x"]',
    ])
  })

  test('without a Tenant header the tenant is that of the system auth; what is no tenant is nobody', async () => {
    expect((await ask('{ result: applications { totalCount } }')).json.data.result.totalCount).toBe(
      2,
    )
    const reply = await post(
      me.session,
      plane.directorUrl,
      { query: '{ result: applications { totalCount } }' },
      { tenant: 'no-uuid' },
    )
    expect(reply.json.errors[0].message).toBe(
      'insufficient scopes provided [actual=; required=application:read]',
    )
  })

  test('a token of an application makes a viewer that is no runtime', async () => {
    const { token } = await plane.issueToken({ application: 'My App' })
    const foreign = await enrol(plane, token)
    const reply = await ask('{ result: viewer { id type } }', {}, foreign)
    expect(reply.json.data.result).toEqual({ id: application('My App').id, type: 'APPLICATION' })
  })

  test('any call marks the runtime CONNECTED', async () => {
    const status = async (name: string): Promise<string> =>
      (await result(`{ result: runtime(id: "${runtimeId(name)}") { status { condition } } }`))
        .status.condition
    expect(await status('main')).toBe('CONNECTED')
    expect(await status('lonely')).toBe('INITIAL')
  })

  test('variables that do not fit and unknown arguments are refused with 422', async () => {
    for (const query of [
      'query ($n: Int) { result: applications(first: $n) { totalCount } }',
      '{ result: applications(first: "x") { totalCount } }',
    ]) {
      expect((await ask(query, { n: 'x' })).status).toBe(422)
    }
  })
})

describe('names', () => {
  for (const [name, expected] of [
    ['My App', 'mp-my-app'],
    ['my-app', 'mp-my-app'],
    ['mp-my-app', 'mp-my-app'],
    ['mp-My-App', 'mp-mp-my-app'],
    ['日本', 'mp'],
    ['Größe Ü', 'mp-gr-e'],
    ['a--b-', 'mp-a-b'],
    ['x'.repeat(100), `mp-${'x'.repeat(100)}`],
    ['İ', 'mp-i'],
    ['../x', 'mp-x'],
  ] as const) {
    test(`${JSON.stringify(name.slice(0, 20))} becomes ${expected.slice(0, 20)}`, () => {
      expect(directorName(name, { isNormalized: undefined })).toBe(expected)
      expect(directorName(name, { isNormalized: 'false' })).toBe(name)
    })
  }
})

describe('lists', () => {
  test('nested ones below a list are not in the order of ids, those of one application are', async () => {
    const ids = (bundles: { data: { id: string }[] }): string[] => bundles.data.map(({ id }) => id)
    const list = await result(
      `{ result: applicationsForRuntime(runtimeID: "${runtimeId('main')}") { data { name bundles { data { id } } } } }`,
    )
    const inList = ids(list.data.find(({ name }: { name: string }) => name === 'mp-my-app').bundles)
    const alone = ids(
      (
        await result(
          `{ result: application(id: "${application('My App').id}") { bundles { data { id } } } }`,
        )
      ).bundles,
    )
    expect(alone).toEqual(alone.toSorted())
    expect(inList).not.toEqual(alone)
    expect(inList.toSorted()).toEqual(alone)
  })

  test('nested ones are paged by cursor, by group, and refuse pages above 200', async () => {
    const { id } = application('My App')
    const page = async (args: string): Promise<Json> =>
      (
        await result(
          `{ result: application(id: "${id}") { bundles(${args}) { totalCount data { id } pageInfo { startCursor endCursor hasNextPage } } } }`,
        )
      ).bundles
    const first = await page('first: 3')
    expect([first.data.length, first.totalCount, first.pageInfo]).toEqual([
      3,
      4,
      { startCursor: '', endCursor: encodeCursor(3), hasNextPage: true },
    ])
    const second = await page(`first: 3, after: "${first.pageInfo.endCursor}"`)
    expect(second.pageInfo).toEqual({
      startCursor: encodeCursor(3),
      endCursor: '',
      hasNextPage: false,
    })
    expect(new Set([...first.data, ...second.data].map((row: { id: string }) => row.id)).size).toBe(
      4,
    )
    const grouped = await result(
      `{ result: application(id: "${id}") { bundle(id: "${bundle('With').id}") { apiDefinitions(group: "g") { totalCount } } } }`,
    )
    expect(grouped.bundle.apiDefinitions.totalCount).toBe(1)
    for (const first of [0, 201]) {
      expect(
        (
          await failure(
            `{ result: application(id: "${id}") { bundles(first: ${first}) { totalCount } } }`,
          )
        )[1],
      ).toBe('Invalid data [reason=page size must be between 1 and 200]')
    }
  })

  test('of 205 applications there are 200 without first, all with first: 300, none beyond the end', async () => {
    const many = await openPlane({
      landscape: makeLandscape({ applications: 205, bundles: 0, apis: 0, events: 0 }),
    })
    const agent = await enrol(many)
    const page = async (args: string): Promise<Json> =>
      (
        await post(agent.session, many.directorUrl, {
          query: `{ result: applications${args} { totalCount data { id } pageInfo { hasNextPage startCursor endCursor } } }`,
        })
      ).json.data.result
    const standard = await page('')
    expect([standard.data.length, standard.pageInfo.hasNextPage, standard.totalCount]).toEqual([
      200,
      true,
      205,
    ])
    const ids = standard.data.map(({ id }: { id: string }) => id)
    expect(ids).toEqual(ids.toSorted())
    expect((await page('(first: 300)')).data).toHaveLength(205)
    const beyond = await page(`(after: "${encodeCursor(400)}")`)
    expect([beyond.data, beyond.totalCount, beyond.pageInfo]).toEqual([
      [],
      205,
      { startCursor: encodeCursor(400), endCursor: '', hasNextPage: false },
    ])
    await agent.session.close()
    await many.close()
  })

  for (const [args, code] of [
    ['first: 0', 22],
    ['first: -1', 22],
    ['first: null', 22],
    ['after: "abc"', 10],
    [`after: "${btoa('hello')}"`, 10],
    [`after: "${btoa('-5')}"`, 22],
  ] as const) {
    test(`${args} is error ${code}`, async () => {
      expect((await failure(`{ result: applications(${args}) { totalCount } }`))[0]).toBe(code)
    })
  }

  test('an auth without anything in it comes back with four nulls', async () => {
    const { id } = application('My App')
    const { bundle: empty } = await result(
      `{ result: application(id: "${id}") { bundle(id: "${bundle('Empty').id}") { defaultInstanceAuth { credential { __typename } additionalHeaders additionalQueryParams requestAuth { csrf { tokenEndpointURL } } } } } }`,
    )
    expect(empty.defaultInstanceAuth).toEqual({
      credential: null,
      additionalHeaders: null,
      additionalQueryParams: null,
      requestAuth: null,
    })
  })
})

describe('labels of the runtime', () => {
  const set = (key: string, value: unknown): Promise<Reply> =>
    ask(
      'mutation ($id: ID!, $key: String!, $value: Any!) { result: setRuntimeLabel(runtimeID: $id, key: $key, value: $value) { key value } }',
      { id: runtimeId('main'), key, value },
    )
  const labels = async (): Promise<Record<string, unknown>> =>
    (await result(`{ result: runtime(id: "${runtimeId('main')}") { labels } }`)).labels

  test('are those of the landscape, isNormalized, the formations, and useBundles once the word was used', async () => {
    await ask('{ result: applications { data { bundles { totalCount } } } }')
    expect(await labels()).toEqual({
      isNormalized: 'true',
      scenarios: ['f'],
      team: 'blue',
      useBundles: 'true',
    })
  })

  for (const value of ['text', 7, true, ['a', { b: null }], { deep: { er: [1] } }, '']) {
    test(`may be ${JSON.stringify(value)}`, async () => {
      expect((await set('any', value)).json.data.result).toEqual({ key: 'any', value })
      expect((await labels())['any']).toEqual(value)
    })
  }

  test('can be deleted once', async () => {
    const remove = `mutation { result: deleteRuntimeLabel(runtimeID: "${runtimeId('main')}", key: "any") { key } }`
    await set('any', 1)
    expect((await ask(remove)).json.data.result.key).toBe('any')
    expect(await labels()).not.toHaveProperty('any')
    expect((await failure(remove))[0]).toBe(20)
  })

  for (const [key, code] of [
    ['runtime.url', 22],
    ['', 22],
    ['k'.repeat(257), 22],
    ['scenarios', 10],
  ] as const) {
    test(`the key ${key.slice(0, 20)} is error ${code}`, async () => {
      expect((await set(key, 'x')).json.errors[0].extensions.error_code).toBe(code)
    })
  }

  test('a value with an old word is stored with the new one, and the answer has the old keys', async () => {
    expect((await set('note', 'uses packageID')).json.data.result.value).toBe('uses bundleID')
    const reply = await ask(
      `{ result: application(id: "${application('My App').id}") { packages { totalCount } } }`,
    )
    expect(reply.json.data.result).toEqual({ packages: { totalCount: 4 } })
  })
})

describe('instance auths', () => {
  const create = async (name: string, input = '{}'): Promise<Json> =>
    result(
      `mutation { result: requestBundleInstanceAuthCreation(bundleID: "${bundle(name).id}", in: ${input}) { id context status { condition } auth { credential { ... on BasicCredentialData { password } } } } }`,
    )
  const remove = async (id: string): Promise<Json> =>
    result(
      `mutation { result: requestBundleInstanceAuthDeletion(authID: "${id}") { status { condition reason } } }`,
    )
  const seen = async (name: string): Promise<string | undefined> => {
    const page = await result(
      `{ result: applications { data { bundles { data { name defaultInstanceAuth { credential { ... on BasicCredentialData { password } } } } } } } }`,
    )
    const bundles = page.data.flatMap((row: Json) => row.bundles.data)
    return bundles.find((row: Json) => row.name === name).defaultInstanceAuth?.credential?.password
  }
  const provide = (id: string, password: string): Promise<Response> =>
    fetch(`${plane.adminUrl}/instance-auths/${id}`, {
      method: 'PUT',
      body: JSON.stringify({ auth: { basic: { username: 'u', password } } }),
    })

  test('with default credentials a frozen copy is made, deletion removes it', async () => {
    const made = await create('With')
    expect([made.status.condition, made.auth.credential.password]).toEqual(['SUCCEEDED', 'p'])
    plane.edit((draft) => {
      const auth = draft.applications
        .flatMap(({ bundles }) => bundles)
        .find(({ name }) => name === 'With')!.auth!
      auth.credential = { type: 'basic', username: 'u', password: 'rotated' }
    })
    expect(await seen('With')).toBe('p')
    const alone = await result(
      `{ result: application(id: "${application('My App').id}") { bundle(id: "${bundle('With').id}") { defaultInstanceAuth { credential { ... on BasicCredentialData { password } } } } } }`,
    )
    expect(alone.bundle.defaultInstanceAuth.credential.password).toBe('rotated')
    expect((await remove(made.id)).status.condition).toBe('SUCCEEDED')
    expect(await seen('With')).toBe('rotated')
    expect(await result(`{ result: bundleInstanceAuth(id: "${made.id}") { id } }`)).toBeNull()
  })

  test('without, it is PENDING until the application side provides credentials, once; deletion leaves it UNUSED', async () => {
    const made = await create('Without', '{context: "{\\"bb\\":1,\\"a\\":{\\"c\\":[1,2]}}"}')
    expect([made.status.condition, made.auth, made.context]).toEqual([
      'PENDING',
      null,
      '{"a": {"c": [1, 2]}, "bb": 1}',
    ])
    expect((await provide(made.id, 'given')).status).toBe(200)
    expect(await seen('Without')).toBe('given')
    expect((await provide(made.id, 'again')).status).toBe(400)
    expect((await remove(made.id)).status).toEqual({
      condition: 'UNUSED',
      reason: 'PendingDeletion',
    })
  })

  test('of several one is shown, the same at each reading', async () => {
    const one = await create('Fourth')
    const two = await create('Fourth')
    await provide(one.id, 'one')
    await provide(two.id, 'two')
    const shown = (await seen('Fourth')) ?? 'nothing'
    expect(['one', 'two']).toContain(shown)
    expect(await seen('Fourth')).toBe(shown)
  })

  test('all of a bundle are listed, also those of other runtimes, and by id', async () => {
    const page = await result(
      `{ result: application(id: "${application('My App').id}") { bundle(id: "${bundle('Fourth').id}") { instanceAuths { id runtimeID } } } }`,
    )
    expect(page.bundle.instanceAuths).toHaveLength(2)
    expect(page.bundle.instanceAuths[0].runtimeID).toBe(runtimeId('main'))
  })

  test('the input must fit the schema', async () => {
    expect(
      (
        await failure(
          `mutation { result: requestBundleInstanceAuthCreation(bundleID: "99999999-9999-4999-8999-999999999999", in: {}) { id } }`,
        )
      )[0],
    ).toBe(20)
  })
})
