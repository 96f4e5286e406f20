/** Three releases signed with a key of their own: one as `npm run release` makes it, a next one, and one that is broken. */
import { generateKeyPairSync } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { hostPlatform } from '../../../scripts/executable.ts'
import { release } from '../../../scripts/release.ts'
import { seal, stampedInstaller } from '../../../scripts/seal.ts'
import { temporaryDirectory } from '../../e2e/support/agent-home.ts'
import { ensureExecutable, executable, finish } from '../../e2e/support/program.ts'

export type Releases = {
  /** Each release is in a directory of its name below it. */
  readonly directory: string
  /** Versions. */
  readonly first: string
  readonly next: string
  readonly broken: string
}

/** Before that of package.json, which `next` has: an older release is refused. */
const FIRST = '0.0.1'
const BROKEN = '9.9.9'

/** Does what a release must be able to do before it is taken, but ends when it is to run. */
const ENDS = `#!/bin/sh
case $1 in
  version) echo 'runtime-agent ${BROKEN} (broken)' ;;
  run) exit 1 ;;
  *) exec /usr/local/lib/runtime-agent/previous "$@" ;;
esac
`

export async function makeReleases(): Promise<Releases> {
  const directory = temporaryDirectory()
  const pair = generateKeyPairSync('ed25519')
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
  const name = `agent-${hostPlatform!.name}`
  const first = join(directory, FIRST)
  const stamp = { version: FIRST }
  await release({ platforms: [hostPlatform!], directory: first, key, quick: true, stamp })

  const make = (version: string, file: string, bytes: Uint8Array | string): void => {
    const place = join(directory, version)
    fs.mkdirSync(place)
    fs.writeFileSync(join(place, name), bytes)
    fs.writeFileSync(join(place, file), gzipSync(bytes, { level: 1 }))
    fs.writeFileSync(join(place, 'VERSION'), `${version}\n`)
    const installer = stampedInstaller(pair.publicKey.export({ type: 'spki', format: 'pem' }))
    fs.writeFileSync(join(place, 'install.sh'), installer)
    fs.copyFileSync(join(first, 'agent.example.yaml'), join(place, 'agent.example.yaml'))
    seal(place, key)
  }
  await ensureExecutable()
  const said = await finish(['version'], { cwd: directory })
  const next = /^runtime-agent (\S+)/.exec(said.out)?.[1] ?? ''
  make(next, `${name}.gz`, fs.readFileSync(executable()))
  make(BROKEN, `${name}.gz`, ENDS)
  return { directory, first: FIRST, next, broken: BROKEN }
}
