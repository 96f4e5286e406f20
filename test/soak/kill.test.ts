import { hostPlatform } from '../../scripts/executable.ts'
import { skipUnless, slow } from '../skip.ts'
import { run } from './kill.ts'

const linux = process.platform === 'linux' && hostPlatform !== undefined
const test = linux
  ? slow
  : skipUnless(false, {
      why: 'memory and descriptors are read from /proc',
      how: 'run the tests on Linux (x64, arm64)',
      allowedInCi: true,
    })

test('kill -9 of agent and control plane at random moments loses nothing, leaves nothing and tears nothing', async () => {
  const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000)
  const report = (line: string): void => console.log(`  ${line}`)
  await run({ signal: AbortSignal.timeout(18_000), seed, report })
}, 180_000)
