/** What makes a directory of files a release that install.sh takes: sums over all, a signature over the sums, our key. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './repository.ts'

/** Writes SHA256SUMS over all files of a directory and, with a private key, SHA256SUMS.sig over that. */
export function seal(directory: string, privatePem?: string): void {
  const sums = sumsOf(directory)
  fs.writeFileSync(join(directory, 'SHA256SUMS'), sums)
  if (privatePem === undefined) return
  const signature = sign(null, Buffer.from(sums), signingKey(privatePem))
  fs.writeFileSync(join(directory, 'SHA256SUMS.sig'), signature)
}

/** The key that `pem` holds; throws an Error when it is not what releases are signed with. */
export function signingKey(pem: string): KeyObject {
  return ed25519(createPrivateKey(pem), 'sign')
}

/** The public half, as PEM, of a private or a public key in PEM. */
export function publicHalf(pem: string): string {
  return ed25519(createPublicKey(pem), 'stamp').export({ type: 'spki', format: 'pem' })
}

const EMPTY = "  cat <<'PUBLIC_KEY'\n"

/** install.sh with the key in it whose signatures count. */
export function stampedInstaller(publicPem: string): string {
  const script = fs.readFileSync(join(ROOT, 'install.sh'), 'utf8')
  const parts = script.split(`${EMPTY}PUBLIC_KEY\n`)
  if (parts.length !== 2) throw new Error('Cannot stamp install.sh: it has no empty public_key')
  return parts.join(`${EMPTY}${publicHalf(publicPem).trim()}\nPUBLIC_KEY\n`)
}

/** Lines as `sha256sum -c` reads them. */
function sumsOf(directory: string): string {
  const lines = fs.readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (!entry.isFile() || entry.name.startsWith('SHA256SUMS')) return []
    const bytes = fs.readFileSync(join(directory, entry.name))
    return [`${createHash('sha256').update(bytes).digest('hex')}  ${entry.name}\n`]
  })
  // By name, and not as the file system lists them.
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join('')
}

function ed25519(key: KeyObject, what: string): KeyObject {
  if (key.asymmetricKeyType === 'ed25519') return key
  const found = String(key.asymmetricKeyType)
  throw new Error(`Cannot ${what}: found a key of type ${found}, want ed25519`)
}
