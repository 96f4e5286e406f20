import { afterAll, describe, expect, test } from 'bun:test'
import { sampleFiles, startDirector } from './director.ts'

const directors: { stop(): Promise<void> }[] = []
afterAll(async () => {
  for (const one of directors) await one.stop()
})

async function director(options: Parameters<typeof startDirector>[0] = {}) {
  const started = await startDirector({
    files: sampleFiles(['a', 'b']),
    secrets: { 'logging-password': 'hunter2' },
    ...options,
  })
  directors.push(started)
  return started
}

describe('agents', () => {
  test('get what is published for their runtime, with the secret in place, and 304 while it is the same', async () => {
    const { publish, agent } = await director()
    const ask = await agent('cn-a')
    expect((await ask('/runtimes/a')).status).toBe(403)
    await publish()
    const first = await ask('/runtimes/a')
    expect(first.status).toBe(200)
    expect(first.headers.get('content-type')).toBe('application/json;charset=UTF-8')
    const etag = first.headers.get('etag') ?? ''
    const body = await first.text()
    expect(etag).toBe(`"${new Bun.CryptoHasher('sha256').update(body).digest('hex')}"`)
    const { id, data } = JSON.parse(body)
    expect(id).toBe('a')
    expect(data.resources[0].spec.metadata).toEqual([
      { name: 'url', value: 'https://logs.example' },
      { name: 'password', value: 'hunter2' },
    ])
    const again = await ask('/runtimes/a', { headers: { 'if-none-match': etag } })
    expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, etag, ''])
    const all = await ask('/runtimes')
    expect(await all.json()).toEqual([JSON.parse(body)])
  })
})
