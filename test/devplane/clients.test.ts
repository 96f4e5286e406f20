import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { parse, validate } from 'graphql'
import { openConnector } from '../../src/clients/connector.ts'
import { openDirector } from '../../src/clients/director.ts'
import * as documents from '../../src/clients/documents.ts'
import { makeLandscape } from '../../src/devplane/landscape-generator.ts'
import { SAMPLE_LANDSCAPE } from '../../src/devplane/landscape-sample.ts'
import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import { directorName } from '../../src/devplane/names.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { connectorSchema, directorSchema } from '../../src/devplane/schema.ts'
import type { Application } from '../../src/model/application.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { anonymous, enrol } from './client.ts'

/** The agent's own clients on the plane, without a mock between them. */
const call = { requestId: 'r', signal: new AbortController().signal }
const texts = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(value as object).flatMap(texts)

describe("the agent's documents", () => {
  test('are valid against the schema of the Connector or of the Director', () => {
    const schemas = [connectorSchema(), directorSchema()]
    const all = Object.values(documents).flatMap(texts)
    expect(all.length).toBeGreaterThan(5)
    for (const text of all) {
      const document = parse(text)
      expect(schemas.some((schema) => validate(schema, document).length === 0)).toBe(true)
    }
  })
})

describe("the agent's clients", () => {
  let plane: Plane
  beforeAll(async () => {
    const largest = { bundles: 450, apis: 450, events: 450 }
    plane = await openPlane({
      landscape: makeLandscape({ applications: 450, bundles: 1, apis: 1, events: 1, largest }),
    })
  })
  afterAll(() => plane.close())

  const fetched = async (): Promise<Application[]> => {
    const { session } = await enrol(plane)
    const director = openDirector({ url: plane.directorUrl, fetch: session.fetch, now: Date.now })
    const { id } = await director.viewer(call)
    const { applications } = await director.applications(id, call)
    await session.close()
    return applications
  }

  test('read the configuration by token', async () => {
    const session = anonymous(plane)
    const connector = openConnector({ url: plane.tokenUrl, fetch: session.fetch, now: Date.now })
    const token = new Secret((await plane.issueToken()).token)
    const configuration = await connector.configuration({ token }, call)
    expect(configuration.plane).toEqual({
      connectorUrl: plane.mtlsConnectorUrl,
      directorUrl: plane.directorUrl,
    })
    await session.close()
  })

  test('read 450 applications, one with 450 bundles, one bundle with 450 APIs and 450 events, all of them', async () => {
    const applications = await fetched()
    const served = plane.landscape.applications
    const shape = (
      list: readonly {
        id: string
        name: string
        bundles: readonly {
          id: string
          apis: readonly { id: string }[]
          events: readonly { id: string }[]
        }[]
      }[],
    ): unknown =>
      list
        .map(({ id, name, bundles }) => [
          id,
          name,
          bundles
            .map((bundle) => [
              bundle.id,
              bundle.apis.map((api) => api.id).toSorted(),
              bundle.events.map((event) => event.id).toSorted(),
            ])
            .toSorted(),
        ])
        .toSorted()
    const renamed = served.map((one) => ({
      ...one,
      name: directorName(one.name, { isNormalized: 'true' }),
    }))
    expect(shape(applications)).toEqual(shape(renamed))
    expect(
      applications.flatMap(({ bundles }) => bundles).every(({ auth }) => auth !== undefined),
    ).toBe(true)
  }, 30_000)

  test('read all kinds of credentials of the sample', async () => {
    plane.replace(parseLandscape(SAMPLE_LANDSCAPE))
    const bundles = (await fetched()).flatMap((application) => application.bundles)
    const kinds = Object.fromEntries(
      bundles.map(({ name, auth }) => [
        name,
        [
          auth?.credential?.type,
          Object.keys(auth?.headers ?? {}),
          auth?.csrf?.tokenUrl !== undefined,
        ],
      ]),
    )
    expect(kinds).toEqual({
      Orders: ['oauth', [], false],
      Customers: ['oauth', ['X-Commerce-Site'], false],
      Finance: ['basic', [], true],
      Sales: [undefined, ['X-Api-Key'], false],
      Holidays: [undefined, [], false],
    })
  })

  test('never take a list for whole that moved while it was read', async () => {
    plane.replace(makeLandscape({ applications: 450, bundles: 0, apis: 0, events: 0 }))
    for (const shift of ['removed', 'added'] as const) {
      await plane.set({ shift })
      expect(
        await fetched().then(
          () => 'taken',
          (thrown: unknown) => (thrown instanceof AgentError ? thrown.code : thrown),
        ),
      ).toBe('answer_incomplete')
    }
    await plane.reset()
    expect(await fetched()).toHaveLength(450)
  }, 30_000)
})
