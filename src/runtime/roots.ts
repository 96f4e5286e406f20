import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { AgentError } from '../model/problem.ts'
import { errorReason } from './disk-error.ts'
import { env } from './process.ts'

/*
 * The certificate authorities that this system trusts, as PEM text. Read from the system's own bundle, as Go and OpenSSL
 * do it, and not through tls.getCACertificates('system'): that one holds most roots two to four times under Node, merges
 * SSL_CERT_FILE with the default under Bun, and throws under Deno when there is none. It is asked where the system has no
 * such file (macOS keychain); where it has nothing either, the runtime's own roots are taken.
 *
 * One text is kept for all sessions, and read again only when its file has changed: updates of the bundle reach an agent
 * that runs for years, and a second session costs no second copy.
 */

/** Where Debian and Alpine, Fedora, SUSE, OpenELEC, RHEL, Alpine and BSD keep it: Go's list. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

type Cached = { key: string; roots: string[] }

let cached: Cached | undefined

/**
 * PEM texts of the trusted roots, each with one or many blocks. SSL_CERT_FILE replaces the system's bundle,
 * SSL_CERT_DIR (directories separated by colons) adds to it only where there is no bundle.
 *
 * Throws `tls_untrusted` when SSL_CERT_FILE is set and cannot be read or holds none: other roots are not what was meant.
 */
export function systemRoots(): string[] {
  const files = rootFiles()
  const key = files.map((file) => `${file} ${stamp(file)}`).join('\n')
  if (cached?.key !== key) cached = { key, roots: load(files) }
  return cached.roots
}

function rootFiles(): string[] {
  const named = env('SSL_CERT_FILE')
  if (named !== undefined) return [named]
  const bundle = BUNDLES.find((file) => stamp(file) !== '')
  if (bundle !== undefined) return [bundle]
  return (env('SSL_CERT_DIR') ?? '').split(':').filter(Boolean).flatMap(filesIn)
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .sort()
      .map((name) => join(directory, name))
  } catch {
    return []
  }
}

/** Changes when the file does; empty when there is none. */
function stamp(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat?.isFile() ? `${stat.mtimeMs} ${stat.size}` : ''
}

function load(files: string[]): string[] {
  const texts = files.map(read).filter((text) => text.includes('BEGIN CERTIFICATE'))
  if (texts.length > 0) return texts
  const named = env('SSL_CERT_FILE')
  if (named !== undefined) throw unreadable(named, 'there is no certificate in it')
  const tls = process.getBuiltinModule('node:tls')
  const system = systemStore(tls)
  return system.length > 0 ? system : [...tls.rootCertificates]
}

function read(file: string): string {
  try {
    // A pipe would hold up everything until somebody writes into it.
    const stat = statSync(file)
    if (!stat.isFile() && !stat.isDirectory()) throw new Error('it is no file')
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw unreadable(file, errorReason(thrown))
  }
}

function unreadable(file: string, why: string): AgentError {
  return new AgentError('tls_untrusted', `Cannot read the trusted roots ${file}: ${why}`, {
    hint: 'correct or unset SSL_CERT_FILE',
  })
}

function systemStore(tls: typeof import('node:tls')): string[] {
  try {
    return tls.getCACertificates('system')
  } catch {
    return []
  }
}
