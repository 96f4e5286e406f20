import { beforeAll, expect } from 'bun:test'
import { chmodSync, chownSync, existsSync, mkdirSync } from 'node:fs'
import { skipUnless } from '../skip.ts'
import { openHome } from '../e2e/support/agent-home.ts'
import type { AgentHome } from '../e2e/support/agent-home.ts'
import { ensureExecutable, onExecutable as run, SLOW } from '../e2e/support/program.ts'

/** Of nobody in particular. */
const OTHER_USER = 65534

const asRoot = skipUnless(process.getuid?.() === 0, {
  why: 'only root can give a directory to another user',
  how: 'run the tests as root',
})

beforeAll(ensureExecutable, SLOW)

/** Its state directory is state/own, so that `state` is its parent. */
function home(): AgentHome {
  const made = openHome({})
  made.configure({ identity: { directory: 'state/own' } })
  return made
}

async function refusal(at: AgentHome): Promise<string> {
  const { code, err } = await at.run('sync', '--once')
  expect(code).toBe(1)
  // Nothing that could be taken away, and nothing taken over that somebody else may have laid there.
  for (const name of ['identity', 'lock', 'digest.key'])
    expect(existsSync(at.path('state/own', name))).toBe(false)
  return err
}

run(
  'a state directory whose parent everybody can write to is refused: they could put another one in its place',
  async () => {
    const at = home()
    mkdirSync(at.path('state'))
    chmodSync(at.path('state'), 0o777)
    expect(await refusal(at)).toContain(
      `other users can change ${at.path('state')} [state_unusable]`,
    )
    chmodSync(at.path('state'), 0o1777)
    expect((await at.run('sync', '--once')).err).not.toContain('state_unusable')
  },
  SLOW,
)

asRoot(
  'a state directory of another user is refused',
  async () => {
    const at = home()
    mkdirSync(at.path('state/own'), { recursive: true })
    chownSync(at.path('state/own'), OTHER_USER, OTHER_USER)
    expect(await refusal(at)).toContain(
      `other users can change ${at.path('state/own')} [state_unusable]`,
    )
  },
  SLOW,
)
