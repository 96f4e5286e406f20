import { expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { skipUnless } from '../skip.ts'

const FIRST = ['--pid', '--fork', '--mount-proc', '--kill-child']
const asFirst = skipUnless(spawnSync('unshare', [...FIRST, 'true']).status === 0, {
  why: 'this user may make no PID namespace',
  how: 'run the tests as root on Linux (apt-get install util-linux)',
  allowedInCi: true,
})

asFirst('as the first process, what commands leave behind stays no zombie', () => {
  const child = fileURLToPath(new URL('orphans-child.ts', import.meta.url))
  const run = spawnSync('unshare', [...FIRST, process.execPath, child], { encoding: 'utf8' })
  expect(run.stderr).toBe('')
  expect(JSON.parse(run.stdout)).toEqual({ pid: 1, before: 3, codes: [7, 8, 9], after: 0 })
})
