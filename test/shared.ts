/**
 * The reference material beside the repository (`../shared`): recordings of a real Compass, official schemas, goldens of
 * the Go agent. It is not part of the repository, so that tests which read it are skipped where it is missing.
 */
import { statSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { skipUnless } from './skip.ts'

const beside = new URL('../../shared/', import.meta.url)
const named = process.env['AGENT_TEST_SHARED']
const place =
  named === undefined ? beside : pathToFileURL(named.endsWith('/') ? named : `${named}/`)

/** The folder as a `file:` URL that ends in `/`, or undefined when this machine does not have it. */
export const shared: URL | undefined = statSync(place, { throwIfNoEntry: false })?.isDirectory()
  ? place
  : undefined

/** `test` for what reads {@link shared}; skips with a reason where it is missing. */
export const needsShared = skipUnless(shared !== undefined, {
  why: 'the reference material is not beside the repository',
  how: 'put the folder `shared` beside the repository, or name it in AGENT_TEST_SHARED',
})
