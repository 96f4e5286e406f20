import { describe, expect, test } from 'bun:test'
import { sha256 } from '../../src/model/digest.ts'
import { parseJson, readBody } from '../../src/web/body.ts'
import { matchesEtag } from '../../src/web/etag.ts'
import { preferredWait } from '../../src/web/prefer.ts'
import { holderOf, presentedToken } from '../../src/web/token.ts'

describe('If-None-Match', () => {
  test.each([
    ['"a"', 'a', true],
    ['W/"a"', 'a', true],
    ['"b", W/"a" , "c"', 'a', true],
    [' * ', 'a', true],
    ['"a', 'a', false],
    ['a', 'a', false],
    ['"aa"', 'a', false],
    ['"b"', 'a', false],
    ['', 'a', false],
    [undefined, 'a', false],
    [`"${'x'.repeat(9000)}", "a"`, 'a', false],
  ])('%p names %p: %p', (header, etag, wanted) => {
    expect(matchesEtag(header, etag)).toBe(wanted)
  })

  test('takes no time for a hostile one', () => {
    const begin = performance.now()
    for (const one of ['"'.repeat(8000), 'W/'.repeat(4000), '",'.repeat(4000)])
      matchesEtag(one, 'a')
    expect(performance.now() - begin).toBeLessThan(100)
  })
})

test.each([
  ['wait=50', 50_000],
  ['respond-async, wait=10', 10_000],
  ['wait = "7"; x', 7000],
  ['WAIT=5', 5000],
  ['wait=600', 60_000],
  ['wait=999999', 60_000],
  ['wait=9999999', 0],
  ['wait=-1', 0],
  ['wait=1e9', 0],
  ['nowait=5', 0],
  ['', 0],
  [undefined, 0],
])('Prefer: %p waits %p ms', (header, wanted) => {
  expect(preferredWait(header, 60_000)).toBe(wanted)
})

describe('a token', () => {
  test.each([
    ['Bearer abc', { scheme: 'bearer', user: '', token: 'abc' }],
    ['bearer  abc ', { scheme: 'bearer', user: '', token: 'abc' }],
    [`Basic ${btoa('me:a:b')}`, { scheme: 'basic', user: 'me', token: 'a:b' }],
    [`Basic ${btoa('nothing')}`, undefined],
    ['Digest abc', undefined],
    ['Bearer', undefined],
    ['Bearer a b', undefined],
    [`Bearer ${'a'.repeat(5000)}`, undefined],
    [undefined, undefined],
  ] as const)('is read from %p', (header, wanted) => {
    expect(presentedToken(header)).toEqual(wanted)
  })

  test('is that of who holds its hash', () => {
    const holders = [
      { name: 'a', sha256: sha256('one') },
      { name: 'b', sha256: sha256('two') },
    ]
    expect(holderOf(holders, 'two')?.name).toBe('b')
    for (const wrong of ['', 'three', sha256('one')])
      expect(holderOf(holders, wrong)).toBeUndefined()
    expect(holderOf([{ name: 'x', sha256: '' }], '')).toBeUndefined()
  })
})

describe('a body', () => {
  const request = (
    body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
    headers = {},
  ) => new Request('http://x/', { method: 'POST', body, headers })
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
    })

  test('is read up to its limit, and given up beyond it', async () => {
    expect(await readBody(request('ä'), 2)).toEqual({ text: 'ä' })
    expect(await readBody(request('äb'), 2)).toEqual({ refused: 413 })
    expect(await readBody(request(endless()), 5000)).toEqual({ refused: 413 })
    expect(await readBody(request('x', { 'content-length': '99999' }), 10)).toEqual({
      refused: 413,
    })
    expect(await readBody(new Request('http://x/', { method: 'POST' }), 10)).toEqual({ text: '' })
  })

  test('that is no UTF-8 or no JSON is none', async () => {
    expect(await readBody(request(new Uint8Array([0xc3])), 10)).toEqual({ refused: 400 })
    expect(parseJson('{')).toBeUndefined()
  })
})
