/**
 * What listens on the loopback interface of a guest: a control plane, and a directory of files over http. A process of its
 * own, as a network is a property of a process; told what to do over IPC.
 */
import { existsSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { openPlane } from '../../../src/devplane/plane.ts'
import type { Landscape } from '../../../src/devplane/landscape.ts'
import type { Call, Said } from './loopback.ts'

const [directory = '', landscape = ''] = process.argv.slice(2)
const plane = await openPlane({ landscape: JSON.parse(landscape) as Landscape })
const files = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request) {
    const file = join(directory, normalize(new URL(request.url).pathname))
    return existsSync(file) ? new Response(Bun.file(file)) : new Response('', { status: 404 })
  },
})

const say = (said: Said): void => void process.send?.(said)

process.on('message', ({ id, method, args }: Call) => {
  void (async () => {
    try {
      const act = plane[method].bind(plane) as (...args: unknown[]) => unknown
      say({ id, value: await act(...args) })
    } catch (thrown) {
      say({ id, error: String(thrown) })
    }
  })()
})
process.once('disconnect', () => process.exit())
say({ ready: { caPem: plane.caPem, filesUrl: `http://127.0.0.1:${files.port}` } })
