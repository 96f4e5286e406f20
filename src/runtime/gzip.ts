import { promisify } from 'node:util'
import * as zlib from 'node:zlib'

const pack = promisify(zlib.gzip)
const unpack = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.gunzip)

/** Text as gzip, made off the main thread. */
export async function gzip(text: string): Promise<Uint8Array> {
  return pack(text)
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
