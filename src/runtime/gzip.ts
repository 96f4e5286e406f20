import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { joinBytes } from '../model/bytes.ts'

const unpack = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.gunzip)

/** Text as gzip, made off the main thread. */
export async function gzip(pieces: Iterable<string>): Promise<Uint8Array> {
  const packed: Uint8Array[] = []
  const keep = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      packed.push(chunk)
      done()
    },
  })
  await pipeline(Readable.from(pieces), zlib.createGzip(), keep)
  return joinBytes(packed)
}

/**
 * The text of gzip; undefined when it is not whole, is no gzip, or would have more than `limit` bytes: what is damaged
 * must not fill the memory.
 */
export async function gunzip(data: Uint8Array, limit: number): Promise<string | undefined> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(
      await unpack(data, { maxOutputLength: limit }),
    )
  } catch {
    return undefined
  }
}
