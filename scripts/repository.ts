/** Where things are, and which version this is. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root directory, without a slash at the end. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

/** What goes into the product, besides the packages of the lock file. */
export const INPUTS = [
  'src',
  'package.json',
  'package-lock.json',
  'scripts/bundle.ts',
  'scripts/executable.ts',
]

/** What package.json says, as far as the scripts need it. */
export type PackageJson = {
  version: string
  scripts: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
}

export function packageJson(): PackageJson {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as PackageJson
}

/**
 * The version that the product shows: of package.json alone at its tag (`v1.2.3`) or without git, else with the commit,
 * `1.2.3+0123456789ab`, and `.dirty` when an input is not committed. Twelve digits always, as git's own choice depends
 * on the clone and two builds of one commit give the same bytes.
 */
export function productVersion(): string {
  const { version } = packageJson()
  const commit = git('rev-parse', 'HEAD')
  if (commit === undefined || git('rev-parse', '--show-prefix') !== '') return version
  const dirty =
    git('status', '--porcelain', '--', 'src', 'package.json', 'package-lock.json') !== ''
  const tagged = git('rev-parse', '-q', '--verify', `refs/tags/v${version}^{commit}`) === commit
  if (tagged && !dirty) return version
  return `${version}+${commit.slice(0, 12)}${dirty ? '.dirty' : ''}`
}

/** What git prints, or undefined when there is no git, no repository or no such thing. */
function git(...args: string[]): string | undefined {
  const run = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  return run.status === 0 ? run.stdout.trim() : undefined
}
