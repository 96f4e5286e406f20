import { expect, test } from 'bun:test'
import { fromBase64, textOfBase64, toBase64 } from '../../src/runtime/base64.ts'
import { gunzip, gzip } from '../../src/runtime/gzip.ts'

const text = 'Größe 🚀\n'.repeat(1000)

test('gzip gives back the text and is smaller', async () => {
  const packed = await gzip(text)
  expect(packed.length).toBeLessThan(200)
  expect(await gunzip(packed, 1_000_000)).toBe(text)
})

test('gzip takes a text in pieces', async () => {
  const packed = await gzip(text.match(/[^]{1,1001}/gu) ?? [])
  expect(await gunzip(packed, 1_000_000)).toBe(text)
})

test('what is cut, changed, no gzip, no UTF-8 or too large is nothing', async () => {
  const packed = await gzip(text)
  const flipped = packed.slice()
  flipped[40] = (flipped[40] ?? 0) ^ 0xff
  expect(await gunzip(packed.subarray(0, packed.length - 1), 1_000_000)).toBeUndefined()
  expect(await gunzip(flipped, 1_000_000)).toBeUndefined()
  expect(await gunzip(new Uint8Array(0), 1_000_000)).toBeUndefined()
  expect(await gunzip(new TextEncoder().encode('hello'), 1_000_000)).toBeUndefined()
  expect(await gunzip(packed, 100)).toBeUndefined()
  expect(await gunzip(Bun.gzipSync(Uint8Array.of(0xff, 0xfe)), 100)).toBeUndefined()
})

test('base64 is that of Kubernetes, of text and of any bytes, also of a part of a buffer', () => {
  expect(toBase64('Größe')).toBe('R3LDtsOfZQ==')
  expect(textOfBase64('R3LDtsOfZQ==')).toBe('Größe')
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 256)
  expect(fromBase64(toBase64(bytes))).toEqual(bytes)
  expect(toBase64(bytes.subarray(1, 3))).toBe('AQI=')
})
