import { expect } from 'bun:test'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { openHttp } from '../../src/runtime/http.ts'
import { skipUnless } from '../skip.ts'
import { firstLine, killHard, startChild } from './children.ts'
import { failure } from './failure.ts'

const onLinux = skipUnless(process.platform === 'linux', {
  why: 'only Linux drops connections beyond the backlog without an answer',
  how: 'run it on Linux',
  allowedInCi: true,
})

/** A full backlog of a stopped process: the kernel lets further connections wait for ever. */
onLinux.each([
  ['a connection', undefined],
  ['one to a proxy', 'http'],
  ['one to a proxy over TLS', 'https'],
])('%s that is never answered ends at the connect time-out', async (_what, scheme) => {
  const child = startChild('backlog-child.ts', [])
  const waiting: Socket[] = []
  try {
    const port = Number(await firstLine(child))
    child.kill('SIGSTOP')
    let connected = true
    while (connected) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      waiting.push(socket)
      connected = await Promise.race([
        new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true))),
        Bun.sleep(300).then(() => false),
      ])
    }
    const proxy = scheme === undefined ? {} : { url: `${scheme}://127.0.0.1:${port}` }
    const session = openHttp({ tls: {}, proxy, connectTimeout: 600 })
    const begin = Date.now()
    const url = scheme === undefined ? `https://127.0.0.1:${port}/` : 'https://compass.test/'
    const error = await failure(session.fetch(url))
    expect(error.code).toBe('timed_out')
    expect(Date.now() - begin).toBeWithin(500, 3000)
    await session.close()
  } finally {
    for (const socket of waiting) socket.destroy()
    child.kill('SIGCONT')
    await killHard(child)
  }
})
