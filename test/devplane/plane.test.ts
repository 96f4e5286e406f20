import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { SAMPLE_LANDSCAPE } from '../../src/devplane/landscape-sample.ts'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import type { PlaneEvent } from '../../src/devplane/events.ts'
import { CONFIGURATION, enrol, post, withIdentity, type Json } from './client.ts'

describe('two planes', () => {
  test('work in one process at the same time, and do not believe one another', async () => {
    const planes = await Promise.all([
      openPlane({ landscape: landscapeOf([]) }),
      openPlane({ landscape: makeLandscape({ applications: 3, bundles: 1, apis: 1, events: 1 }) }),
    ])
    const agents = await Promise.all(planes.map((plane) => enrol(plane)))
    const counts = await Promise.all(
      planes.map(async (plane, index) => {
        const query = '{ result: applications { totalCount } }'
        return (await post(agents[index]!.session, plane.directorUrl, { query })).json.data.result
          .totalCount as number
      }),
    )
    expect(counts).toEqual([0, 3])
    const { key, chain } = agents[0]!
    const stranger = withIdentity(planes[1], key, chain)
    const refused = post(stranger, planes[1].directorUrl, { query: '{ viewer { id } }' })
    expect(
      await refused.then(
        () => 'taken',
        () => 'refused',
      ),
    ).toBe('refused')
    const { token } = await planes[0].issueToken()
    const elsewhere = await post(
      agents[1]!.session,
      planes[1].tokenUrl,
      { query: CONFIGURATION },
      { 'connector-token': token },
    )
    expect(elsewhere.status).toBe(400)
    await Promise.all([
      ...agents.map(({ session }) => session.close()),
      stranger.close(),
      ...planes.map((plane) => plane.close()),
    ])
  })
})

describe('the clock of a plane', () => {
  test('is a parameter: tokens, certificates and Date follow it', async () => {
    let now = Date.parse('2031-01-01T00:00:00Z')
    const plane = await openPlane({
      landscape: landscapeOf([]),
      now: () => now,
      lifetimes: { token: 60_000 },
    })
    const { token, expiresAt } = await plane.issueToken()
    expect(expiresAt).toBe('2031-01-01T00:01:00Z')
    now += 60_000
    const { session } = await enrol(plane).catch(() => ({ session: undefined }))
    expect(session).toBeDefined()
    const late = await post(
      session!,
      plane.tokenUrl,
      { query: CONFIGURATION },
      { 'connector-token': token },
    )
    expect(late.status).toBe(400)
    expect(late.headers.get('date')).toBe('Wed, 01 Jan 2031 00:01:00 GMT')
    await session!.close()
    await plane.close()
  })
})

describe('speed', () => {
  test('a page of 200 applications with 3 bundles and 2 APIs each, 1 MB, is answered again and again', async () => {
    const plane = await openPlane({
      landscape: makeLandscape({ applications: 200, bundles: 3, apis: 2, events: 0 }),
    })
    const me = await enrol(plane)
    const query = `query ($id: ID!) { result: applicationsForRuntime(runtimeID: $id) { totalCount pageInfo { startCursor endCursor hasNextPage } data { id name providerName description labels auths { id } bundles { totalCount pageInfo { startCursor endCursor hasNextPage } data { id name description instanceAuthRequestInputSchema apiDefinitions { totalCount pageInfo { startCursor endCursor hasNextPage } data { id name description targetURL group version { value deprecated deprecatedSince forRemoval } } } eventDefinitions { totalCount pageInfo { startCursor endCursor hasNextPage } data { id name description group version { value deprecated deprecatedSince forRemoval } } } defaultInstanceAuth { credential { __typename ... on BasicCredentialData { username password } ... on OAuthCredentialData { clientId clientSecret url } ... on CertificateOAuthCredentialData { clientId certificate url } } additionalHeaders additionalQueryParams requestAuth { csrf { tokenEndpointURL credential { __typename ... on BasicCredentialData { username password } ... on OAuthCredentialData { clientId clientSecret url } } additionalHeaders additionalQueryParams } } } } } } } }`
    const variables = { id: plane.landscape.runtimes[0]!.id }
    let spent = 0
    for (let round = 0; round < 4; round++) {
      const before = process.cpuUsage()
      const reply = await post(me.session, plane.directorUrl, { query, variables })
      const { user, system } = process.cpuUsage(before)
      spent = (user + system) / 1000
      expect(reply.json.data.result.data).toHaveLength(200)
      expect(reply.text.length).toBeGreaterThan(800_000)
    }
    // Server and client together, in this process. A wide bound: it is there to notice a lost cache, not to measure.
    expect(spent).toBeLessThan(600)
    await me.session.close()
    await plane.close()
  })
})

describe('the admin endpoint', () => {
  let plane: Plane
  const events: PlaneEvent[] = []
  beforeAll(async () => {
    plane = await openPlane({
      landscape: parseLandscape(SAMPLE_LANDSCAPE),
      onEvent: (event) => events.push(event),
    })
  })
  afterAll(() => plane.close())

  const call = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; json: Json; text: string }> => {
    const response = await fetch(plane.adminUrl + path, {
      method,
      headers,
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      text,
      json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined,
    }
  }

  test('says what it can do, and what each knob does', async () => {
    expect((await call('GET', '/')).text).toContain('POST   /token')
    const { json } = await call('GET', '/knobs')
    expect(json.knobs.refuse.help).toContain('token not spent')
    expect((await call('GET', '/knobs', undefined, { accept: 'text/plain' })).text).toContain(
      'takes milliseconds, or a text such as 90s',
    )
  })

  test('turns knobs and lets go', async () => {
    const put = await call('PUT', '/knobs', { lost: { operation: 'sign', count: 2 } })
    expect(put.json.active).toEqual({ lost: [{ value: true, operation: ['sign'], count: 2 }] })
    expect((await call('PUT', '/knobs', { lots: true })).json).toEqual({
      code: 'usage',
      message: 'Cannot turn knobs: unknown knob "lots", did you mean "lost"?',
    })
    expect(
      (await call('POST', '/certificate', { lifetime: '10m' })).json.active.certificateLifetime,
    ).toEqual([{ value: 600_000 }])
    expect((await call('DELETE', '/knobs')).json.active).toEqual({})
  })

  test('gives tokens for runtimes by name, and refuses unknown ones', async () => {
    const { json } = await call('POST', '/token', { runtime: 'dev' })
    expect(JSON.parse(atob(json.rawEncoded)).connectorURL).toBe(plane.tokenUrl)
    expect((await call('POST', '/token', { runtime: 'nobody' })).json.message).toBe(
      'Cannot find the runtime "nobody": the landscape has 1',
    )
    expect((await call('POST', '/token', '[1]')).status).toBe(400)
  })

  test('revokes the certificates of a runtime, and lists them', async () => {
    const me = await enrol(plane)
    await post(
      me.session,
      plane.directorUrl,
      { query: '{ viewer { id } }' },
      { 'x-request-id': 'r-1', tenant: 't' },
    )
    const seen = (await call('GET', '/events?after=0')).json as PlaneEvent[]
    const last = seen.at(-1)!
    expect(last).toMatchObject({
      port: 'mtls',
      operations: ['viewer'],
      status: 200,
      requestId: 'r-1',
      tenant: 't',
    })
    expect(events.at(-1)).toEqual(last)
    expect((await call('GET', `/events?after=${last.sequence}`)).json).toEqual([])
    const { revoked } = (await call('POST', '/revoke', { runtime: 'dev' })).json
    expect(revoked).toContain(last.fingerprint)
    const [runtime] = (await call('GET', '/runtimes')).json
    expect(runtime.certificates.every((one: Json) => one.revoked)).toBe(true)
    expect((await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })).status).toBe(
      400,
    )
    await me.session.close()
  })

  test('registers, assigns and unregisters applications', async () => {
    const { json, status } = await call('POST', '/applications', {
      name: 'New One',
      formations: ['order-to-cash'],
      bundles: [{ name: 'b', auth: { basic: { username: 'u', password: 'p' } } }],
    })
    expect(status).toBe(201)
    expect(plane.landscape.applications.map(({ name }) => name)).toContain('New One')
    expect((await call('POST', '/applications', { name: 'new-one' })).json).toMatchObject({
      code: 31,
      error: 'NotUniqueName',
    })
    expect((await call('PUT', `/applications/${json.id}/formations`, [])).status).toBe(204)
    expect(plane.landscape.applications.find(({ id }) => id === json.id)!.formations).toEqual([])
    expect((await call('DELETE', `/applications/${json.id}`)).status).toBe(204)
    expect((await call('DELETE', `/applications/${json.id}`)).status).toBe(404)
    expect((await call('POST', '/applications', { nam: 'x' })).json.code).toBe('config_invalid')
  })

  test('takes a whole landscape', async () => {
    expect((await call('PUT', '/landscape', 'applications: [{name: Only}]')).status).toBe(204)
    expect(
      (await call('GET', '/landscape')).json.applications.map(({ name }: Json) => name),
    ).toEqual(['Only'])
    expect((await call('PUT', '/landscape', 'applications: 7')).json.message).toContain(
      'landscape:1:15: applications: found "7", want a list',
    )
  })

  test('refuses pages of other sites', async () => {
    expect((await call('POST', '/token', {}, { origin: 'https://evil.example' })).status).toBe(403)
    expect((await call('GET', '/', undefined, { host: 'evil.example' })).status).toBe(403)
  })
})
