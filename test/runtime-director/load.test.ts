/** Short forms of `npm run bench -- runtime-director`: what must hold on any machine. */
import { beforeAll, expect } from 'bun:test'
import { openDirectorBench } from '../bench/support/director-under-test.ts'
import type { PollersResult } from '../bench/support/pollers.ts'
import { ensureExecutable, executable, onExecutable, SLOW } from '../e2e/support/program.ts'
import { hasPostgres, startPostgres } from '../postgres-server.ts'
import { skipUnless, slow } from '../skip.ts'

beforeAll(() => ensureExecutable(), SLOW)

onExecutable(
  'two hundred agents wait, and all of them have what is published a moment later',
  async () => {
    const bench = await openDirectorBench(200, executable())
    try {
      bench.command('publish')
      const server = await bench.start()
      const pollers = bench.pollers({ ports: [server.port], count: 200, mode: 'wait' })
      await pollers.next()
      expect(await server.metric('runtime_director_waiting_requests')).toBe(200)
      bench.edit('https://logs.example/new')
      bench.command('publish')
      const published = Date.now()
      const { last, failed } = await pollers.next()
      expect(failed).toBe(0)
      expect(Number(last) - published).toBeLessThan(5000)
    } finally {
      await bench.stop()
    }
  },
  60_000,
)

const canRun = skipUnless(hasPostgres, {
  why: 'PostgreSQL is not installed',
  how: 'apt-get install postgresql',
})
const run = hasPostgres ? slow : canRun

run(
  'of two servers on PostgreSQL one is killed under load, and no poll is lost after a second try',
  async () => {
    const postgres = await startPostgres()
    const bench = await openDirectorBench(100, executable(), postgres.database().reveal())
    try {
      bench.command('publish')
      const servers = [await bench.start(), await bench.start()]
      const ports = servers.map(({ port }) => port)
      const pollers = bench.pollers({ ports, count: 100, mode: 'new', interval: 2, length: 6 })
      await Bun.sleep(2500)
      await servers[0]!.kill('SIGKILL')
      const { polls, failed, lost } = (await pollers.next()) as PollersResult
      expect(polls).toBeGreaterThan(100)
      expect(failed).toBeGreaterThan(0)
      expect(lost).toBe(0)
    } finally {
      await bench.stop()
      await postgres.stop()
    }
  },
  60_000,
)
