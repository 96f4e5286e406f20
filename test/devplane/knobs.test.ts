import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { certificateSubject, parseCsr } from '../../src/identity/x509.ts'
import { KNOB_NAMES, type KnobName } from '../../src/devplane/knobs.ts'
import { KnobBoard } from '../../src/devplane/knob-board.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { encodeCursor } from '../../src/devplane/paging.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import type { HttpSession } from '../../src/runtime/http.ts'
import { certificateInfo } from '../../src/runtime/keys.ts'
import {
  anonymous,
  CONFIGURATION,
  csrFor,
  enrol,
  post,
  SIGN,
  testKey,
  type Enrolled,
  type Reply,
} from './client.ts'

let plane: Plane
let me: Enrolled
let session: HttpSession

beforeAll(async () => {
  plane = await openPlane({
    landscape: makeLandscape({ applications: 5, bundles: 2, apis: 1, events: 0 }),
  })
  me = await enrol(plane)
  session = anonymous(plane)
})

afterAll(async () => {
  await me.session.close()
  await session.close()
  await plane.close()
})

beforeEach(() => plane.reset())

const VIEWER = { query: '{ result: viewer { id type } }' }
const LIST = `id name bundles { data { id name defaultInstanceAuth { additionalHeaders credential { __typename } } } } `
const applications = (args = '', as = me): Promise<Reply> =>
  post(as.session, plane.directorUrl, {
    query: `{ result: applications${args} { data { ${LIST} } totalCount pageInfo { hasNextPage endCursor } } }`,
  })
const director = (): Promise<Reply> => post(me.session, plane.directorUrl, VIEWER)
const connector = (): Promise<Reply> =>
  post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
const withToken = (token: string): Promise<Reply> =>
  post(session, plane.tokenUrl, { query: CONFIGURATION }, { 'connector-token': token })
const fresh = async (): Promise<string> => (await plane.issueToken()).token
const outcome = ({ status, text }: Reply): [number, string] => [status, text]
const code = (reply: Reply): number => reply.json.errors[0].extensions.error_code
const ids = (reply: Reply): string[] =>
  reply.json.data.result.data.map(({ id }: { id: string }) => id)
const failed = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => false,
    () => true,
  )
const setLabel = (value: string): Promise<Reply> =>
  post(me.session, plane.directorUrl, {
    query: `mutation { result: setRuntimeLabel(runtimeID: "${plane.landscape.runtimes[0]!.id}", key: "k", value: "${value}") { value } }`,
  })
const label = (): unknown => plane.runtimes()[0]!.labels['k']
const sign = async (): Promise<string> => {
  const csr = await csrFor(`O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=${me.systemAuth}`)
  const reply = await post(me.session, plane.mtlsConnectorUrl, { query: SIGN, variables: { csr } })
  return atob(reply.json.data.result.clientCertificate)
}
const configuration = async (): Promise<{
  subject: string
  keyAlgorithm: string
  directorURL: unknown
  certificateSecuredConnectorURL: unknown
}> => {
  const { certificateSigningRequestInfo, managementPlaneInfo } = (await connector()).json.data
    .result
  return { ...certificateSigningRequestInfo, ...managementPlaneInfo }
}
const elapsed = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await run()
  return performance.now() - start
}

const DOCUMENTS = ['a', 'b'].map((name) => ({
  apiVersion: 'dapr.io/v1alpha1',
  kind: 'Component',
  metadata: { name },
}))
const runtimeDirector = (init: RequestInit = {}, more = ''): Promise<Response> => {
  plane.edit((draft) => {
    draft.configurations ??= [{ name: 'all', resources: DOCUMENTS }]
  })
  return me.session.fetch(
    `${plane.runtimeDirectorUrl}/runtimes/${plane.landscape.runtimes[0]!.id}${more}`,
    init,
  )
}
const configured = async (): Promise<{ id: string; data?: unknown }> =>
  (await (await runtimeDirector()).json()) as { id: string; data?: unknown }

/** What each knob does, proved. */
const PROOFS: { [K in KnobName]: () => Promise<unknown> } = {
  delay: async () => {
    await plane.set({ delay: 120 })
    expect(await elapsed(director)).toBeGreaterThanOrEqual(115)
  },
  refuse: async () => {
    await plane.set({ refuse: true })
    const token = await fresh()
    expect(outcome(await withToken(token))).toEqual([400, ''])
    expect(outcome(await connector())).toEqual([400, ''])
    expect((await applications()).json.errors[0].message).toContain(
      '[actual=; required=application:read]',
    )
    await plane.set({ refuse: 403 })
    expect(outcome(await director())).toEqual([403, ''])
    await plane.reset()
    expect((await withToken(token)).status).toBe(200)
  },
  tooMany: async () => {
    await plane.set({ tooMany: true })
    const without = await director()
    expect([without.status, without.headers.get('retry-after')]).toEqual([429, null])
    await plane.set({ tooMany: 7 })
    expect((await director()).headers.get('retry-after')).toBe('7')
  },
  redirect: async () => {
    await plane.set({ redirect: 'https://elsewhere.example/' })
    expect(await failed(director())).toBe(true)
    expect(plane.events().at(-1)!.status).toBe(302)
  },
  html: async () => {
    await plane.set({ html: 200 })
    const reply = await director()
    expect([reply.status, reply.type]).toEqual([200, 'text/html'])
    expect(reply.text).toStartWith('<html>')
  },
  databaseDown: async () => {
    await plane.set({ databaseDown: true })
    const token = await fresh()
    expect(outcome(await withToken(token))).toEqual([400, ''])
    expect(outcome(await connector())).toEqual([400, ''])
    expect(code(await applications())).toBe(23)
    await plane.reset()
    expect((await withToken(token)).status).toBe(200)
  },
  directorDown: async () => {
    await plane.set({ directorDown: true })
    const token = await fresh()
    expect(outcome(await withToken(token))).toEqual([400, ''])
    expect(outcome(await director())).toEqual([502, ''])
    await plane.reset()
    expect((await withToken(token)).status).toBe(200)
  },
  connectorDown: async () => {
    await plane.set({ connectorDown: true })
    const token = await fresh()
    expect(outcome(await withToken(token))).toEqual([502, ''])
    expect((await director()).status).toBe(200)
    await plane.reset()
    expect((await withToken(token)).status).toBe(400)
  },
  hydratorDown: async () => {
    await plane.set({ hydratorDown: true })
    const token = await fresh()
    const reply = await withToken(token)
    expect([reply.status, reply.json.error.code]).toEqual([500, 500])
    await plane.reset()
    expect((await withToken(token)).status).toBe(200)
  },
  wrongTenant: async () => {
    await plane.set({ wrongTenant: true })
    const existing = await applications()
    expect([existing.status, code(existing)]).toEqual([400, 25])
    await plane.set({ wrongTenant: 'unknown' })
    const unknown = await applications()
    expect([unknown.status, code(unknown)]).toEqual([200, 23])
  },
  scopes: async () => {
    await plane.set({ scopes: ['runtime:read', 'application:read'] })
    const reply = await applications()
    expect(reply.json.errors).toBeUndefined()
    expect(JSON.stringify(reply.json).match(/"defaultInstanceAuth":null/g)).toHaveLength(10)
    expect((await setLabel('x')).json.errors[0].message).toBe(
      'insufficient scopes provided [actual=runtime:read;application:read; required=runtime:write]',
    )
  },
  error: async () => {
    await plane.set({ error: 28 })
    expect((await applications()).json).toMatchObject({
      errors: [
        { path: ['applications'], extensions: { error: 'OperationTimeout', error_code: 28 } },
      ],
      data: null,
    })
    await setLabel('never')
    expect(label()).not.toBe('never')
    await plane.set({ error: 'Failed to get one-time token' })
    expect((await connector()).json.errors).toEqual([
      { message: 'Failed to get one-time token', path: ['configuration'] },
    ])
  },
  errorBesideData: async () => {
    await plane.set({ errorBesideData: true })
    const reply = await applications()
    expect(code(reply)).toBe(10)
    expect(ids(reply)).toHaveLength(5)
  },
  emptyPage: async () => {
    await plane.set({ emptyPage: true })
    expect((await applications()).json).toEqual({
      data: {
        result: { data: [], totalCount: 0, pageInfo: { hasNextPage: false, endCursor: '' } },
      },
    })
  },
  nullCredentials: async () => {
    await plane.set({ nullCredentials: ['Bundle 001'] })
    const some = JSON.stringify((await applications()).json)
    expect(some.match(/"defaultInstanceAuth":null/g)).toHaveLength(5)
    await plane.set({ nullCredentials: true })
    const all = JSON.stringify((await applications()).json)
    expect(all.match(/"defaultInstanceAuth":null/g)).toHaveLength(10)
  },
  shift: async () => {
    const whole = ids(await applications())
    const walk = async (): Promise<[string[], number[]]> => {
      const pages = [
        await applications('(first: 3)'),
        await applications(`(first: 3, after: "${encodeCursor(3)}")`),
      ]
      return [pages.flatMap(ids), pages.map(({ json }) => json.data.result.totalCount)]
    }
    expect(await walk()).toEqual([whole, [5, 5]])
    await plane.set({ shift: 'removed' })
    expect(await walk()).toEqual([whole.toSpliced(3, 1), [5, 4]])
    await plane.set({ shift: 'added' })
    expect(await walk()).toEqual([whole.toSpliced(3, 0, whole[2]!), [5, 6]])
  },
  totalCount: async () => {
    await plane.set({ totalCount: 2 })
    expect((await applications()).json.data.result.totalCount).toBe(5)
    expect((await applications(`(after: "${encodeCursor(3)}")`)).json.data.result.totalCount).toBe(
      7,
    )
  },
  hollow: async () => {
    const body = async (hollow: 'object' | 'null' | 'missing' | 'field'): Promise<string> => {
      await plane.set({ hollow })
      return (await applications()).text
    }
    expect(await body('object')).toBe('{"data":{"result":{}}}')
    expect(await body('null')).toBe('{"data":null}')
    expect(await body('missing')).toBe('{}')
    expect(await body('field')).toBe('{"data":{"result":null}}')
  },
  status: async () => {
    await plane.set({ status: true, emptyPage: true })
    const reply = await applications()
    expect([reply.status, ids(reply)]).toEqual([500, []])
  },
  cut: async () => {
    await plane.set({ cut: 0.5 })
    const reply = await director()
    expect([reply.status, reply.json]).toEqual([200, undefined])
    expect(reply.text).toStartWith('{"data"')
  },
  cutConnection: async () => {
    await plane.set({ cutConnection: true })
    expect(await failed(director())).toBe(true)
    expect(plane.events().at(-1)!.status).toBe(200)
  },
  endless: async () => {
    await plane.set({ endless: 64 })
    const stop = new AbortController()
    const response = await me.session.fetch(plane.directorUrl, {
      method: 'POST',
      body: JSON.stringify(VIEWER),
      signal: stop.signal,
    })
    let bytes = 0
    const body: ReadableStream<Uint8Array> = response.body!
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > 4 * 1024 * 1024) break
    }
    stop.abort()
    expect(bytes).toBeGreaterThan(4 * 1024 * 1024)
  },
  trickle: async () => {
    await plane.set({ trickle: 2 })
    let reply: Reply | undefined
    const length = await elapsed(async () => (reply = await director()))
    expect(reply!.json.data.result.type).toBe('RUNTIME')
    expect(length).toBeGreaterThan(2 * (reply!.text.length - 1))
  },
  lost: async () => {
    await plane.set({ lost: true })
    expect(await failed(setLabel('done'))).toBe(true)
    expect(label()).toBe('done')
    const token = await fresh()
    expect(await failed(withToken(token))).toBe(true)
    expect(plane.events().at(-1)!.status).toBeNull()
    await plane.reset()
    expect((await withToken(token)).status).toBe(400)
  },
  lostBefore: async () => {
    await plane.set({ lostBefore: true })
    expect(await failed(setLabel('undone'))).toBe(true)
    expect(label()).not.toBe('undone')
    const token = await fresh()
    expect(await failed(withToken(token))).toBe(true)
    await plane.reset()
    expect((await withToken(token)).status).toBe(200)
  },
  tokenLifetime: async () => {
    await plane.set({ tokenLifetime: 5000 })
    const { token, expiresAt, createdAt } = await plane.issueToken()
    expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(5000)
    await plane.set({ tokenLifetime: 0 })
    expect((await withToken(token)).status).toBe(400)
  },
  certificateLifetime: async () => {
    await plane.set({ certificateLifetime: 90_000 })
    const { notBefore, notAfter } = certificateInfo(await sign())
    expect(notAfter - notBefore).toBe(90_000)
  },
  certificateOffset: async () => {
    await plane.set({ certificateOffset: 7_200_000 })
    expect(certificateInfo(await sign()).notBefore).toBeGreaterThan(Date.now() + 7_100_000)
  },
  dateOffset: async () => {
    await plane.set({ dateOffset: -7_200_000 })
    const date = Date.parse((await director()).headers.get('date')!)
    expect(Math.abs(date + 7_200_000 - Date.now())).toBeLessThan(5000)
  },
  certificate: async () => {
    const { privateKeyPem } = await testKey()
    const signed = async (
      certificate: 'otherKey' | 'otherCa' | 'otherName' | 'notPem' | 'cut',
    ): Promise<string> => {
      await plane.set({ certificate })
      return sign()
    }
    expect(certificateInfo(await sign()).publicKeyMatches(privateKeyPem)).toBe(true)
    expect(certificateInfo(await signed('otherKey')).publicKeyMatches(privateKeyPem)).toBe(false)
    expect(
      certificateInfo(await signed('otherCa')).issuedBy(plane.authorities.client.certificate),
    ).toBe(false)
    expect(certificateSubject(await signed('otherName'))).not.toContainEqual({
      type: 'CN',
      value: me.systemAuth,
    })
    expect(await signed('notPem')).not.toContain('BEGIN')
    expect(await signed('cut')).not.toContain('END')
  },
  subject: async () => {
    await plane.set({ subject: { O: 'Org, Inc', L: '' } })
    expect((await configuration()).subject).toBe(
      `O=Org, Inc,OU=OrgUnit,L=,ST=province,C=DE,CN=${me.systemAuth}`,
    )
  },
  subjectEscaped: async () => {
    await plane.set({ subject: true, subjectEscaped: true })
    expect((await configuration()).subject).toStartWith('O=Org\\, Inc,OU=')
  },
  strictSubject: async () => {
    await plane.set({ subject: { OU: 'Unit (x)' } })
    const other = await enrol(plane)
    const ask = (): Promise<Reply> =>
      post(other.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    expect((await ask()).status).toBe(200)
    await plane.set({ strictSubject: true })
    expect((await ask()).status).toBe(400)
    expect((await connector()).status).toBe(200)
  },
  keyAlgorithm: async () => {
    await plane.set({ keyAlgorithm: 'ec-p256' })
    expect((await configuration()).keyAlgorithm).toBe('ec-p256')
  },
  directorUrl: async () => {
    await plane.set({ directorUrl: true })
    expect((await configuration()).directorURL).toBeNull()
    await plane.set({ directorUrl: 'https://moved.example/graphql' })
    expect((await configuration()).directorURL).toBe('https://moved.example/graphql')
  },
  connectorUrl: async () => {
    await plane.set({ connectorUrl: true })
    expect((await configuration()).certificateSecuredConnectorURL).toBeNull()
  },
  form: async () => {
    await plane.set({ form: 'bare' })
    expect((await configured()).data).toEqual(DOCUMENTS[0])
    await plane.set({ form: 'resources' })
    expect((await configured()).data).toEqual({ resources: DOCUMENTS })
    await plane.set({ form: true })
    expect((await configured()).data).toEqual({ documents: DOCUMENTS })
    await plane.set({ form: 'missing' })
    expect(await configured()).toEqual({ id: expect.any(String) })
  },
  otherRuntime: async () => {
    const { id } = await configured()
    await plane.set({ otherRuntime: true })
    expect((await configured()).id).not.toBe(id)
  },
  noEtag: async () => {
    expect((await runtimeDirector()).headers.get('etag')).toMatch(/^"[0-9a-f]{64}"$/)
    await plane.set({ noEtag: true })
    expect((await runtimeDirector()).headers.get('etag')).toBeNull()
  },
  noWait: async () => {
    const etag = (await runtimeDirector()).headers.get('etag')!
    const asked = (): Promise<Response> =>
      runtimeDirector({ headers: { 'if-none-match': etag, prefer: 'wait=1' } })
    expect(await elapsed(asked)).toBeGreaterThanOrEqual(950)
    await plane.set({ noWait: true })
    expect(await elapsed(asked)).toBeLessThan(900)
    expect((await asked()).status).toBe(304)
  },
  noReports: async () => {
    const report = (): Promise<Response> =>
      runtimeDirector({ method: 'POST', body: '{}' }, '/report')
    expect((await report()).status).toBe(204)
    await plane.set({ noReports: true })
    expect((await report()).status).toBe(404)
  },
  keyOrder: async () => {
    const before = await runtimeDirector()
    const first = await before.text()
    await plane.set({ keyOrder: true })
    const texts = new Set<string>()
    for (let n = 0; n < 20; n++) {
      const answer = await runtimeDirector()
      const text = await answer.text()
      expect(JSON.parse(text)).toEqual(JSON.parse(first))
      expect(answer.headers.get('etag')).toBe(before.headers.get('etag'))
      texts.add(text)
    }
    expect(texts.size).toBeGreaterThan(1)
  },
  serverLifetime: async () => {
    await plane.set({ serverLifetime: true })
    expect(await failed(director())).toBe(true)
    await plane.reset()
    expect((await director()).status).toBe(200)
  },
  serverNames: async () => {
    await plane.set({ serverNames: true })
    expect(await failed(director())).toBe(true)
    await plane.reset()
    expect((await director()).status).toBe(200)
  },
}

describe('knobs', () => {
  test('each has a proof here', () => {
    expect(Object.keys(PROOFS).sort()).toEqual(KNOB_NAMES.toSorted())
  })

  for (const name of KNOB_NAMES) test(`${name} does what its row says`, () => PROOFS[name]())

  test('without one nothing is spoiled', async () => {
    expect((await director()).status).toBe(200)
    expect((await connector()).status).toBe(200)
    expect(await parseCsr(atob(await csrFor('CN=x')))).toMatchObject({ verifies: true })
  })
})

describe('who a knob is turned for', () => {
  test('the next two requests of one operation', async () => {
    await plane.set({ tooMany: { operation: 'viewer', count: 2 } })
    const statuses: number[] = []
    for (const ask of [applications, director, director, director])
      statuses.push((await ask()).status)
    expect(statuses).toEqual([200, 429, 429, 200])
  })

  test('the second request only', async () => {
    await plane.set({ status: { value: 502, operation: 'director', skip: 1, count: 1 } })
    const statuses: number[] = []
    for (const ask of [director, connector, director, director]) statuses.push((await ask()).status)
    expect(statuses).toEqual([200, 200, 502, 200])
  })

  test('one rule after the other, for a service or a port', async () => {
    await plane.set({
      tooMany: [
        { operation: 'token', value: 1 },
        { operation: ['viewer', 'label'], value: 2, count: 1 },
        { operation: 'director', value: 3 },
      ],
    })
    const seen: (string | null)[] = []
    for (const ask of [director, director, () => withToken('x'), connector])
      seen.push((await ask()).headers.get('retry-after'))
    expect(seen).toEqual(['2', '3', '1', null])
  })

  test('nobody any more after false', async () => {
    await plane.set({ tooMany: true, html: true })
    await plane.set({ tooMany: false })
    expect((await director()).status).toBe(503)
  })
})

describe('KnobBoard', () => {
  const problem = (settings: Record<string, unknown>): string => {
    const board = new KnobBoard()
    try {
      board.set({ lost: true, ...settings })
      return ''
    } catch (thrown) {
      expect(board.active()).toEqual({})
      return (thrown as Error).message
    }
  }

  test('says all that does not fit at once, and turns nothing then', () => {
    expect(
      problem({
        delai: 1,
        delay: 'soon',
        tooMany: { operation: 'sing' },
        html: { count: -1 },
        subject: { X: 'y' },
        scopes: 'all',
        hollow: 'tree',
        error: 12,
      }),
    ).toBe(
      [
        'Cannot turn knobs: unknown knob "delai", did you mean "delay"?',
        'delay: found "soon", want milliseconds, or a text such as 90s or -2h',
        'tooMany.operation: want configuration | sign | revoke | viewer | runtime | applications | application | label | instanceAuth | fetch | report | other | connector | director | runtimeDirector | token | mtls',
        'html: skip and count want whole numbers from 0 on',
        'subject: found {"X":"y"}, want an object of O, OU, L, ST, C',
        'scopes: found "all", want a list of texts',
        'hollow: found "tree", want object | null | missing | field',
        'error: found 12, want a code of the Director, or a message',
      ].join('; '),
    )
  })

  test('takes lengths of time as text, also below zero', () => {
    const board = new KnobBoard()
    board.set({ dateOffset: '-2h', delay: '1s500ms' })
    expect([board.peek('dateOffset'), board.peek('delay')]).toEqual([-7_200_000, 1500])
  })

  test('shows what still holds', () => {
    const board = new KnobBoard()
    board.set({ lost: { operation: 'sign', count: 2 }, html: true })
    board.take(new Set(['sign', 'connector', 'mtls']))
    expect(board.active()).toEqual({
      lost: [{ value: true, operation: ['sign'], count: 1 }],
      html: [{ value: 503 }],
    })
  })
})
