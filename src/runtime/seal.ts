import * as crypto from 'node:crypto'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'

/** AES-256-GCM. What is sealed begins with this byte, then nonce, ciphertext, tag. */
const FORMAT = 1
const NONCE = 12
const TAG = 16
const KEY_BYTES = 32

/** A new key, as 64 hexadecimal digits. */
export function newSealKey(): Secret {
  return new Secret(crypto.randomBytes(KEY_BYTES).toString('hex'))
}

/** Whether a text is a key; white space around it is none of it. */
export function isSealKey(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text.trim())
}

/** Tells keys apart and gives nothing of them away. */
export function sealKeyId(key: Secret): string {
  return crypto
    .createHash('sha256')
    .update('key id')
    .update(bytesOf(key))
    .digest('hex')
    .slice(0, 16)
}

/** Encrypts data that only `context` may be opened as. */
export function seal(data: Uint8Array, key: Secret, context: string): Uint8Array {
  const nonce = crypto.randomBytes(NONCE)
  const cipher = crypto.createCipheriv('aes-256-gcm', bytesOf(key), nonce)
  cipher.setAAD(new TextEncoder().encode(context))
  const sealed = [cipher.update(data), cipher.final()]
  return new Uint8Array(
    Buffer.concat([new Uint8Array([FORMAT]), nonce, ...sealed, cipher.getAuthTag()]),
  )
}

/**
 * The data, when nothing of it was changed and key and context are those it was sealed with.
 *
 * @throws AgentError store_key_wrong
 */
export function unseal(sealed: Uint8Array, key: Secret, context: string): Uint8Array {
  try {
    if (sealed[0] !== FORMAT || sealed.length < 1 + NONCE + TAG) throw new Error()
    const nonce = sealed.subarray(1, 1 + NONCE)
    const decipher = crypto.createDecipheriv('aes-256-gcm', bytesOf(key), nonce)
    decipher.setAAD(new TextEncoder().encode(context))
    decipher.setAuthTag(sealed.subarray(-TAG))
    const inner = sealed.subarray(1 + NONCE, -TAG)
    return new Uint8Array(Buffer.concat([decipher.update(inner), decipher.final()]))
  } catch {
    throw new AgentError(
      'store_key_wrong',
      `Cannot read ${context} of the store: it is damaged, or was encrypted with another key`,
    )
  }
}

function bytesOf(key: Secret): Buffer {
  return Buffer.from(key.reveal().trim(), 'hex')
}
