/**
 * A program for tests: publishes one rotation after the other into `<base>/out` until it is killed or has made so many.
 *
 *   bun test/targets/rotate.ts <base> <rotations> <pause in ms>
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../src/model/secret.ts'
import { planChanges } from '../../src/model/plan.ts'
import { openFiles } from '../../src/targets/files.ts'
import { application, basic, bundle, desired, numbers, RUNTIME } from '../model/samples.ts'

const [base = '', rotations = '', pause = ''] = process.argv.slice(2)

const target = openFiles({
  config: {
    kind: 'files',
    name: 'files',
    directory: `${base}/out`,
    env: true,
    json: true,
    vcap: false,
    types: [],
    onChange: [],
  },
  agent: 'default',
  stateDirectory: `${base}/state`,
  digestKey: new Secret('key'),
  now: () => Date.now(),
})

const { signal } = new AbortController()
// Another start must not begin with what is there already.
const start = Date.now()
for (const n of numbers(Number(rotations))) {
  // Long, so that a half written file shows.
  const password = `begin ${start + n} ${'x'.repeat(5000)} end`
  const bundles = numbers(6).map((b) => bundle(`b${b}`, { auth: basic('user', password) }))
  const want = desired([application('a', { bundles })])
  const observed = await target.observe(RUNTIME, signal)
  const changes = planChanges(target.render(want, observed), observed, want)
  await target.apply({ target: 'files', changes }, signal)
  process.stdout.write('.')
  await sleep(Number(pause))
}
