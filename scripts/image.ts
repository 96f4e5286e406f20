/**
 * npm run image [-- --tag NAME] [-- --context]   the container image of deploy/Containerfile, for this machine's processor
 *
 * Collects what goes into it below dist/image: the executable, the C library of this machine (glibc, which the executable
 * must run with here, too) and its bundle of public authorities; then builds it with buildah. `--context` only collects,
 * for another builder.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, bundlesIn } from './build.ts'
import { hostPlatform } from './executable.ts'
import { licenceTexts } from './licences.ts'
import { ROOT, productVersion } from './repository.ts'
import { packagesOf } from './sbom.ts'

/** As the manifests of deploy/kubernetes name it. */
export const IMAGE = 'runtime-agent'
/** Where {@link collect} puts it. */
export const CONTEXT = join(ROOT, 'dist', 'image')
/** What all files of an image may have together, in bytes. */
export const IMAGE_BAR = 125e6
/** Not root, and nobody else's number: that of distroless images. */
const USER = 65532
const ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
]
/** Works within a container, too, where there are no namespaces to make. */
const BUILDAH = ['bud', '--isolation', 'chroot', '--network', 'host']

/** Writes dist/image anew; gives the bytes of all files in it. Throws an Error that says what this machine lacks. */
export async function collect(): Promise<number> {
  if (hostPlatform === undefined || !/^linux-(x64|arm64)$/.test(hostPlatform.name))
    throw new Error('Cannot make an image: want Linux with glibc on x64 or arm64')
  const [executable = ''] = (await build([hostPlatform])).executables
  fs.rmSync(CONTEXT, { recursive: true, force: true })
  const put = (from: string, to: string, mode = 0o644): void => {
    const file = join(CONTEXT, 'root', to)
    fs.mkdirSync(dirname(file), { recursive: true })
    fs.copyFileSync(from, file)
    fs.chmodSync(file, mode)
  }
  put(executable, 'usr/local/bin/agent', 0o755)
  for (const library of librariesOf(executable)) put(library, library, 0o755)
  put(authorities(), 'etc/ssl/certs/ca-certificates.crt')
  write('etc/passwd', `runtime-agent:x:${USER}:${USER}::/var/lib/runtime-agent:/nonexistent\n`)
  write('etc/group', `runtime-agent:x:${USER}:\n`)
  write('usr/share/doc/runtime-agent/LICENSES.txt', await licences())
  // The path of the Go agent, which the manifests of Kyma start.
  fs.mkdirSync(join(CONTEXT, 'root', 'app'))
  fs.symlinkSync('/usr/local/bin/agent', join(CONTEXT, 'root', 'app', 'compass-runtime-agent'))
  for (const [name, mode] of [
    ['', 0o711] as const,
    ['state', 0o700] as const,
    ['out', 0o2750] as const,
  ])
    directory(join(CONTEXT, 'home', 'runtime-agent', name), mode)
  return sizeOf(CONTEXT)
}

function write(path: string, text: string): void {
  const file = join(CONTEXT, 'root', path)
  fs.mkdirSync(dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}

/** With this mode whatever the umask is. */
function directory(path: string, mode: number): void {
  fs.mkdirSync(path, { recursive: true })
  fs.chmodSync(path, mode)
}

/** What the loader loads, at the paths where it looks: libc, libpthread, libdl, libm, and itself. */
function librariesOf(executable: string): string[] {
  const run = spawnSync('ldd', [executable], { encoding: 'utf8' })
  const found = [...run.stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path)
  if (run.status !== 0 || found.length !== 5)
    throw new Error(
      `Cannot make an image: ldd found ${found.length} libraries, want 5\n${run.stdout}${run.stderr}`,
    )
  return found
}

function authorities(): string {
  const bundle = ROOTS.find((file) => fs.existsSync(file))
  if (bundle !== undefined) return bundle
  throw new Error(
    'Cannot make an image: this machine has no public authorities (apt-get install ca-certificates)',
  )
}

/** Of what is in the executable, and of the C library where this machine tells it. */
async function licences(): Promise<string> {
  const work = fs.mkdtempSync(join(tmpdir(), 'image-'))
  try {
    const { inside } = await bundlesIn(work, { version: productVersion(), onlyBun: true })
    const libc = '/usr/share/doc/libc6/copyright'
    const ofLibc = fs.existsSync(libc) ? fs.readFileSync(libc, 'utf8') : ''
    return `${licenceTexts(packagesOf({ executables: inside }))}${ofLibc}`
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

function sizeOf(directory: string): number {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(join(entry.parentPath, entry.name)).size, 0)
}

/** Builds the image of what was collected, as `tag`. `storage`: options of buildah that say where images are kept. */
export function buildImage(tag: string, storage: readonly string[] = []): void {
  if (spawnSync('buildah', ['--version']).status !== 0)
    throw new Error(
      'Cannot build the image: buildah is not installed (apt-get install buildah); npm run image -- --context for another builder',
    )
  // Of docker's format, as that of OCI has no health check; without the time of the build, for the same bytes.
  const options = ['--timestamp', '0', '--format', 'docker', '--label', labelOf(), '--tag', tag]
  const file = ['--file', join(ROOT, 'deploy', 'Containerfile'), CONTEXT]
  const run = spawnSync('buildah', [...storage, ...BUILDAH, ...options, ...file], {
    encoding: 'utf8',
  })
  if (run.status !== 0) throw new Error(`Cannot build the image: buildah failed\n${run.stderr}`)
}

function labelOf(): string {
  return `org.opencontainers.image.version=${productVersion()}`
}

/** Tags have no `+`. */
export function defaultTag(): string {
  return `${IMAGE}:${productVersion().replace('+', '-')}`
}

if (import.meta.main) {
  try {
    const { values } = parseArgs({
      options: { tag: { type: 'string' }, context: { type: 'boolean', default: false } },
    })
    const size = await collect()
    const megabytes = `${(size / 1e6).toFixed(1)} MB`
    if (size > IMAGE_BAR)
      throw new Error(`Cannot make an image: ${megabytes} is more than ${IMAGE_BAR / 1e6} MB`)
    const tag = values.tag ?? defaultTag()
    if (!values.context) buildImage(tag)
    console.log(values.context ? `dist/image (${megabytes})` : `${tag} (${megabytes})`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}
