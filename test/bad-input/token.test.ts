import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { chmodSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { deriveId } from '../../src/devplane/landscape.ts'
import { onExecutable as run, SLOW } from '../e2e/support/program.ts'
import { asNobody, giveToNobody, withoutRights } from './support/privilege.ts'
import { onlyProblem, openScene, startWrong } from './support/scene.ts'
import type { Scene } from './support/scene.ts'

const NAMES = [
  'missing',
  'empty',
  'directory',
  'garbage',
  'huge',
  'cut',
  'used',
  'invented',
  'unreadable',
  'windows',
  'plain',
  'elsewhere',
  'mismatch',
  'other',
]

let scene: Scene

beforeAll(async () => {
  scene = await openScene(NAMES)
}, SLOW)

afterAll(() => scene.close())

/** What stands where the token should, and what the agent says of it. */
const BAD: [string, { text?: () => Promise<string> | string; code: string }][] = [
  ['missing', { code: 'token_missing' }],
  ['empty', { text: () => ' \n', code: 'token_missing' }],
  ['garbage', { text: () => 'this is not a token', code: 'token_invalid' }],
  ['huge', { text: () => 'x'.repeat(5 * 1024 * 1024), code: 'token_unreadable' }],
  [
    'cut',
    {
      text: async () => (await scene.token('cut')).slice(0, 150),
      code: 'token_invalid',
    },
  ],
  ['used', { text: usedToken, code: 'token_refused' }],
  ['invented', { text: inventedToken, code: 'token_refused' }],
]

/** Another agent has enrolled with it. */
async function usedToken(): Promise<string> {
  const token = await scene.token('used')
  const home = scene.home()
  home.giveToken(token)
  const agent = home.start()
  await scene.healed(agent, home, 'used')
  await agent.stop()
  return token
}

async function inventedToken(): Promise<string> {
  const real = JSON.parse(atob(await scene.token('invented'))) as Record<string, unknown>
  return btoa(JSON.stringify({ ...real, token: 'A'.repeat(88) }))
}

describe('an agent whose token is no good runs on, asks for another, and enrols within seconds of it:', () => {
  run.concurrent.each(BAD)(
    '%s',
    async (runtime, { text, code }) => {
      const home = scene.home()
      if (text !== undefined) home.giveToken(await text())
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code, turn: 'operator' })
      home.giveToken(await scene.token(runtime))
      await scene.healed(agent, home, runtime, 9000)
      expect((await agent.stop()).how).toBe(0)
    },
    SLOW,
  )

  run.concurrent(
    'a directory',
    async () => {
      const home = scene.home()
      mkdirSync(home.path('token'))
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'token_unreadable', turn: 'operator' })
      expect(problem.message).toContain(home.path('token'))
      rmdirSync(home.path('token'))
      home.giveToken(await scene.token('directory'))
      await scene.healed(agent, home, 'directory', 9000)
      await agent.stop()
    },
    SLOW,
  )

  withoutRights.concurrent(
    'unreadable for its user',
    async () => {
      const home = scene.home()
      chmodSync(scene.ca, 0o644)
      chmodSync(dirname(scene.ca), 0o755)
      home.giveToken(await scene.token('unreadable'))
      giveToNobody(home.directory)
      chmodSync(home.path('token'), 0)
      const { agent, problem } = await startWrong(home, { wrap: asNobody })
      expect(problem).toMatchObject({ code: 'token_unreadable', turn: 'operator' })
      expect(problem.message).toContain(home.path('token'))
      chmodSync(home.path('token'), 0o600)
      await scene.healed(agent, home, 'unreadable', 9000)
      await agent.stop()
    },
    SLOW,
  )
})

describe('a token that is good', () => {
  run.concurrent(
    'is understood as Windows and people leave it: byte order mark, line breaks inside and around',
    async () => {
      const home = scene.home()
      const token = await scene.token('windows')
      home.giveToken(`\uFEFF\r\n${token.slice(0, 76)}\r\n${token.slice(76)}\r\n\r\n`)
      const agent = home.start()
      await scene.healed(agent, home, 'windows')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but plain needs connector.url, says so without being spent, and works with it',
    async () => {
      const home = scene.home()
      const { token } = await scene.plane.issueToken({ runtime: 'plain' })
      home.giveToken(token)
      const wrong = await startWrong(home)
      expect(wrong.problem).toMatchObject({ code: 'connector_url_missing', turn: 'operator' })
      await wrong.agent.stop()
      const connector = {
        token: { file: 'token' },
        ca: { file: scene.ca },
        url: scene.plane.tokenUrl,
      }
      home.configure({ connector })
      const agent = home.start()
      await scene.healed(agent, home, 'plain')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but for another Connector than connector.url is not sent to either, and stays good',
    async () => {
      const home = scene.home()
      home.giveToken(await scene.token('elsewhere'))
      const connector = { token: { file: 'token' }, ca: { file: scene.ca } }
      home.configure({
        connector: { ...connector, url: 'https://other.example/connector/graphql' },
      })
      const wrong = await startWrong(home)
      expect(wrong.problem).toMatchObject({ code: 'connector_url_mismatch', turn: 'operator' })
      await wrong.agent.stop()
      home.configure({ connector })
      const agent = home.start()
      await scene.healed(agent, home, 'elsewhere')
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but for another runtime than runtime.id mirrors nothing of that one',
    async () => {
      const home = scene.home()
      home.configure({
        runtime: { id: deriveId('runtime', 'mismatch') },
        connector: { token: { file: 'token' }, ca: { file: scene.ca } },
      })
      home.giveToken(await scene.token('other'))
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'runtime_mismatch', turn: 'operator' })
      expect(problem.message).toContain(deriveId('runtime', 'other'))
      expect(home.log().some(({ message }) => message.startsWith('fetched'))).toBe(false)
      home.giveToken(await scene.token('mismatch'))
      await scene.healed(agent, home, 'mismatch', 9000)
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but for an application is not spent on it',
    async () => {
      const home = scene.home()
      const { id } = scene.plane.landscape.applications[0]!
      home.giveToken((await scene.plane.issueToken({ application: id })).rawEncoded)
      const { agent, problem } = await startWrong(home)
      expect(problem).toMatchObject({ code: 'not_a_runtime', turn: 'operator' })
      await onlyProblem(agent, home)
      await agent.stop()
    },
    SLOW,
  )

  run.concurrent(
    'but in a file that is not there yet is taken when the file appears, also in a directory that appears',
    async () => {
      const home = scene.home()
      home.configure({ connector: { token: { file: 'later/token' }, ca: { file: scene.ca } } })
      const { agent, problem } = await startWrong(home)
      expect(problem.code).toBe('token_missing')
      mkdirSync(home.path('later'))
      writeFileSync(home.path('later/token'), await scene.token('missing'))
      await scene.healed(agent, home, 'missing', 9000)
      await agent.stop()
    },
    SLOW,
  )
})
