/**
 * A minimal Debian to boot: made by debootstrap once, from the mirror that this machine's apt uses, and kept in the
 * user's cache. A guest changes only a layer above it.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { skipUnless, slow } from '../../skip.ts'

/** What a person has who follows docs/systemd.md; minbase is without them. */
const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'openssl',
  'xz-utils',
  'curl',
  'ca-certificates',
]

const TOOLS = ['debootstrap', 'systemd-nspawn', 'unshare', 'nsenter', 'flock', 'ip']
const missing = TOOLS.filter((tool) => Bun.which(tool) === null)
/** nspawn needs a network and a mount namespace, and so control groups of its own. */
const mayRun =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--mount', '--net', '--pid', '--fork', 'true']).status === 0

/** `test` for what boots a Debian; give it {@link SLOW} of the programs' tests as its limit. */
export const onDebian =
  mayRun && missing.length === 0
    ? slow
    : skipUnless(false, {
        why: mayRun ? `${missing.join(', ')} not installed` : 'this user may make no namespaces',
        how: 'as root on Debian: apt-get install debootstrap systemd-container iproute2',
        allowedInCi: !mayRun,
      })

/** Whether {@link onDebian} runs its tests. */
export const canBoot =
  mayRun && missing.length === 0 && process.env['AGENT_TEST_FAST'] === undefined

/** Milliseconds for the first boot on a machine: the tree is made in less than a minute when nothing else runs. */
export const FIRST_BOOT = 400_000

/** The directory that holds it: made now when it is missing, by one process of all that want it. */
export async function debianTree(): Promise<string> {
  const { suite, mirror } = ownSource()
  const digest = createHash('sha256').update(PACKAGES.join(' ')).digest('hex').slice(0, 8)
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = join(cache, 'runtime-agent-nspawn')
  const tree = join(folder, `${suite}-${process.arch}-${digest}`)
  if (existsSync(tree)) return tree
  mkdirSync(folder, { recursive: true })
  process.stderr.write(`making a Debian ${suite} with debootstrap, once …\n`)
  const child = Bun.spawn(
    ['flock', `${tree}.lock`, 'sh', '-euc', MAKE, 'sh', tree, suite, mirror, PACKAGES.join(',')],
    { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' },
  )
  const said = await child.stderr.text()
  if ((await child.exited) !== 0)
    throw new Error(`Cannot make a Debian with debootstrap: ${said}; see ${tree}.log`)
  return tree
}

/** Whole or not at all, and without what only a next installation would use. */
const MAKE = `
[ ! -d "$1" ] || exit 0
rm -rf "$1.new"
debootstrap --variant=minbase --include="$4" "$2" "$1.new" "$3" >"$1.log" 2>&1
rm -rf "$1.new"/var/cache/apt/archives/*.deb "$1.new"/var/lib/apt/lists/*
rm -f "$1.new"/etc/hostname "$1.new"/etc/resolv.conf
mv "$1.new" "$1"
`

/** The release that this machine runs, and where its apt gets it from. */
function ownSource(): { suite: string; mirror: string } {
  const release = readFileSync('/etc/os-release', 'utf8')
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1]
  const format = '$(RELEASE) $(COMPONENT) $(REPO_URI)'
  const run = spawnSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    encoding: 'utf8',
  })
  for (const line of run.status === 0 ? run.stdout.split('\n') : []) {
    const [name, component, mirror] = line.split(' ')
    if (suite !== undefined && name === suite && component === 'main' && mirror !== undefined)
      return { suite, mirror }
  }
  throw new Error(
    `Cannot tell where this machine's apt gets Debian ${suite ?? ''} from: ${run.stderr}`,
  )
}
