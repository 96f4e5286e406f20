import { Buffer } from 'node:buffer'

/** Standard base64 with padding, as Kubernetes has the values of Secrets; text is taken as UTF-8. */
export function toBase64(data: string | Uint8Array): string {
  if (typeof data === 'string') return Buffer.from(data, 'utf8').toString('base64')
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
}

/** The bytes of base64; what is no base64 is left out, as servers check it. */
export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

/** The bytes of base64 as UTF-8 text. */
export function textOfBase64(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8')
}
