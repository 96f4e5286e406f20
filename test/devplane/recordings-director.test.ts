import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { DEFAULT_TENANT, OTHER_TENANT, type Landscape } from '../../src/devplane/landscape.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { needsShared } from '../shared.ts'
import { enrol, post, type Enrolled, type Reply } from './client.ts'
import { BUNDLES, recordedLandscape, RUNTIMES } from './recorded-landscape.ts'
import { comparableRecording, comparableReply, keepIds, recordingsOf } from './recorded.ts'

const recordings = recordingsOf('director')

/** How the plane is set up for a recording. The recorded request is then sent as it is. */
type Setup = {
  /** Name of the runtime that asks; `main` when missing. */
  as?: keyof typeof RUNTIMES
  prepare?: (plane: Plane, me: Enrolled) => unknown
  /** The order of applications is compared too. */
  ordered?: boolean
}

const request = (plane: Plane, me: Enrolled, query: string): Promise<Reply> =>
  post(me.session, plane.directorUrl, { query })

/** Asks for an instance auth and, with credentials, provides them as the application side does. */
async function instanceAuth(
  plane: Plane,
  me: Enrolled,
  bundle: string,
  auth?: Record<string, unknown>,
): Promise<void> {
  const created = await request(
    plane,
    me,
    `mutation { result: requestBundleInstanceAuthCreation(bundleID: "${bundle}", in: {}) { id } }`,
  )
  if (auth === undefined) return
  const { id } = created.json.data.result
  const set = await fetch(`${plane.adminUrl}/instance-auths/${id}`, {
    method: 'PUT',
    body: JSON.stringify({ auth }),
  })
  expect(set.status).toBe(200)
}

const SETUPS: Record<string, Setup> = {
  'applications-empty-no-formation': {
    prepare: (plane) =>
      plane.edit(({ runtimes }) => runtimes.forEach((runtime) => (runtime.formations = []))),
  },
  'runtime-and-applications-full': { ordered: true },
  'application-auths-ids': {
    prepare: (plane) =>
      plane.edit(({ applications }) => {
        applications.find(({ name }) => name === 'crm')!.authIds = [
          '474cceb6-f584-489e-89e6-45d364b36199',
        ]
      }),
  },
  'credentials-hidden-without-scope': {
    prepare: (plane) =>
      plane.set({ scopes: ['runtime:read', 'runtime:write', 'application:read'] }),
  },
  'applications-without-scope': {
    prepare: (plane) => plane.set({ scopes: ['runtime:read', 'runtime:write'] }),
  },
  'instance-auth-request-with-default': {},
  'instance-auth-request-without-default': {},
  'instance-auth-request-input-invalid': {},
  'instance-auth-request-outside-formation': {},
  'applications-while-instance-auth-pending': {
    prepare: (plane, me) => instanceAuth(plane, me, BUNDLES.People),
  },
  'applications-default-overridden': {
    prepare: async (plane, me) => {
      await instanceAuth(plane, me, BUNDLES.People, {
        basic: { username: 'canary-per-runtime-user', password: 'canary-per-runtime-password' },
      })
      const finance = ({ applications }: Landscape) =>
        applications.flatMap(({ bundles }) => bundles).find(({ id }) => id === BUNDLES.Finance)!
      const now = finance(plane.landscape).auth
      const override = {
        type: 'oauth',
        clientId: 'canary-override-id',
        clientSecret: 'canary-override-secret',
        tokenUrl: 'https://erp.example.com/oauth/token2',
      } as const
      plane.edit((draft) => (finance(draft).auth = { credential: override }))
      await instanceAuth(plane, me, BUNDLES.Finance)
      plane.edit((draft) => (finance(draft).auth = now))
    },
  },
  'applications-pending-hides-later-default': {
    as: 'late',
    prepare: async (plane, me) => {
      await instanceAuth(plane, me, BUNDLES.Late)
      plane.edit(({ applications }) => {
        const { bundles } = applications.find(({ name }) => name === 'late-default')!
        bundles[0]!.auth = { credential: { type: 'basic', username: 'u', password: 'p' } }
      })
    },
  },
  viewer: { as: 'viewer' },
  'set-runtime-label': {},
  'set-runtime-label-invalid-key': {},
  'error-wrong-tenant': {},
  'error-unknown-tenant': {},
  'error-unknown-runtime': {},
  'error-unknown-runtime-labels': {},
  'error-first-0': {},
  'error-nested-first-201': { as: 'many' },
  'error-after-garbage': {},
  'error-unknown-field': {},
  'revoked-certificate': {
    as: 'revoked',
    prepare: (plane) => plane.revoke({ runtime: 'revoked' }),
  },
  'page-1-of-3-first-100': { as: 'many', ordered: true },
  'page-2-of-3-first-100': { as: 'many', ordered: true },
  'page-3-of-3-first-100': { as: 'many', ordered: true },
  'fault-database-down': { as: 'faults', prepare: (plane) => plane.set({ databaseDown: true }) },
  'fault-proxy-down': { as: 'faults', prepare: (plane) => plane.set({ html: true }) },
}

/** Recordings that are no requests of a runtime, and where they are held instead. */
const ELSEWHERE: Record<string, string> = {
  'request-one-time-token-for-runtime': 'operators only: the admin endpoint, below',
}

type Token = { token: string; raw: string; rawEncoded: string; systemAuthID?: string }

describe('recordings of the Director', () => {
  let plane: Plane
  const enrolled = new Map<string, Enrolled>()
  const landscape = recordedLandscape()

  beforeAll(async () => {
    plane = await openPlane({ landscape: structuredClone(landscape) })
    keepIds(JSON.stringify(landscape).match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? [])
    for (const runtime of Object.keys(RUNTIMES)) {
      enrolled.set(runtime, await enrol(plane, (await plane.issueToken({ runtime })).token))
    }
  })

  afterAll(async () => {
    for (const { session } of enrolled.values()) await session.close()
    await plane.close()
  })

  needsShared('each one is replayed, or held elsewhere for a reason', () => {
    expect([...Object.keys(SETUPS), ...Object.keys(ELSEWHERE)].sort()).toEqual(
      [...recordings.keys()].sort(),
    )
  })

  for (const [name, setup] of Object.entries(SETUPS)) {
    needsShared(`${name}: the plane answers as the real Director`, async () => {
      const recording = recordings.get(name)!
      const me = enrolled.get(setup.as ?? 'main')!
      await forget(plane, landscape)
      await setup.prepare?.(plane, me)
      const { tenant } = recording.request.headers
      const reply = await post(
        me.session,
        plane.directorUrl,
        recording.request.body,
        tenant === undefined ? {} : { tenant },
      )
      expect(comparableReply(reply)).toEqual(comparableRecording(recording))
      if (setup.ordered === true)
        expect(applicationIds(reply.json)).toEqual(applicationIds(recording.response!.body))
    })
  }

  needsShared(
    'request-one-time-token-for-runtime: the admin endpoint gives the same token in the same forms',
    async () => {
      const reply = await fetch(`${plane.adminUrl}/token`, {
        method: 'POST',
        body: '{"runtime":"main"}',
      })
      const token = (await reply.json()) as Token
      const body = recordings.get('request-one-time-token-for-runtime')!.response!.body
      const recorded = (body as { data: { result: Token } }).data.result
      for (const given of [token, recorded]) {
        expect(given.rawEncoded).toBe(btoa(given.raw))
        expect(given.token).toMatch(/^[A-Za-z0-9_-]{86}==$/)
        const raw = JSON.parse(given.raw)
        expect(raw.token).toBe(given.token)
        expect(Date.parse(raw.expiresAt) - Date.parse(raw.createdAt)).toBe(3_600_000)
      }
      expect(Object.keys(JSON.parse(token.raw))).toEqual(Object.keys(JSON.parse(recorded.raw)))
      expect(
        Object.keys(token)
          .filter((key) => key !== 'systemAuthID')
          .sort(),
      ).toEqual(Object.keys(recorded).sort())
      expect({ ...token, ...VARIABLE }).toEqual({
        ...recorded,
        ...VARIABLE,
        systemAuthID: token.systemAuthID ?? '',
      })
    },
  )
})

const VARIABLE = {
  token: '',
  raw: '',
  rawEncoded: '',
  connectorURL: '',
  expiresAt: '',
  createdAt: '',
}

/** What one recording did to the plane must not be seen by the next. */
async function forget(plane: Plane, landscape: Landscape): Promise<void> {
  await plane.reset()
  plane.replace(structuredClone(landscape))
  await fetch(`${plane.adminUrl}/instance-auths`, { method: 'DELETE' })
}

function applicationIds(body: unknown): string[] {
  const { data } = body as { data: Record<string, { data: { id: string }[] }> }
  const page = data['applicationsForRuntime'] ?? data['result']
  return page!.data.map(({ id }) => id)
}

test('the tenants of the recordings are those of a landscape that names none', () => {
  expect([DEFAULT_TENANT, OTHER_TENANT]).toEqual([
    '3e64ebae-38b5-46a0-b1ed-9ccee153a0ae',
    '1eba80dd-8ff6-54ee-be4d-77944d17b10b',
  ])
})
