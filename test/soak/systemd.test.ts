import { FIRST_BOOT, onDebian } from '../nspawn/support/debian.ts'
import { run } from './systemd.ts'

onDebian(
  'a service of systemd that is killed at random moments is always back, as who it was, and tears no binding',
  async () => {
    const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000)
    const report = (line: string): void => console.log(`  ${line}`)
    await run({ signal: AbortSignal.timeout(20_000), seed, report })
  },
  FIRST_BOOT,
)
