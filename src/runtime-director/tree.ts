import { formatProblem } from '../config/problem.ts'
import { sha256 } from '../model/digest.ts'
import { AgentError, reasonOf } from '../model/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import { list, lstat, readText, realPath } from '../runtime/files.ts'
import { fileMode, lookOf } from '../runtime/owner.ts'
import { join } from '../runtime/path.ts'
import { judge } from './judge.ts'
import type { DesiredFile, Judged, Surroundings } from './judge.ts'
import type { DesiredState } from './state.ts'

/** Where the desired state and its secrets are. */
export type Tree = { directory: string; secrets: string | undefined }

const KINDS = ['runtimes', 'configurations', 'overlays']
const MAX_FILES = 50_000
const MAX_FILE = 1024 * 1024 + 1
const MAX_SECRET = 48 * 1024
const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/

const never = new AbortController().signal

/**
 * Reads and judges the desired state as it is on the disk.
 *
 * @throws AgentError desired_invalid with every problem on a line of its own
 */
export async function readTree(
  tree: Tree,
  admitted: Surroundings['admitted'],
): Promise<DesiredState> {
  const files = await readFiles(tree.directory)
  const secrets = await readSecrets(tree.secrets)
  const judged = await judge(files, { admitted, secret: (name) => secrets.get(name) }, () =>
    systemClock.sleep(1, never),
  )
  if (judged.state !== undefined) return judged.state
  throw invalid(tree.directory, judged)
}

function invalid(directory: string, { problems = [] }: Judged): AgentError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
  const lines = problems.map((problem) => `\n  ${formatProblem(problem)}`)
  return new AgentError('desired_invalid', `Cannot use ${directory}: ${count}${lines.join('')}`)
}

async function readFiles(directory: string): Promise<DesiredFile[]> {
  const root = await realPath(directory)
  const files: DesiredFile[] = []
  for (const kind of KINDS) {
    const names = await list(join(directory, kind))
    // An empty place where a volume was not mounted must not become the desired state.
    if (names === undefined && kind === 'runtimes')
      throw unusable(directory, 'there is no directory runtimes in it')
    for (const name of names ?? []) {
      if (name.startsWith('.')) continue
      const path = `${kind}/${name}`
      if (/\.ya?ml$/i.test(name) && !name.endsWith('.yaml'))
        throw unusable(directory, `${path} is not read: want a name that ends in .yaml`)
      if (!name.endsWith('.yaml')) continue
      if (files.length >= MAX_FILES) throw unusable(directory, `more than ${MAX_FILES} files`)
      files.push({ path, text: await readInside(root, join(directory, kind, name)) })
    }
  }
  return files
}

/**
 * Changes with every change of the files, and costs a look at each: names, sizes and times, where links lead included.
 */
export async function glanceAt({ directory, secrets }: Tree): Promise<string> {
  const places = [
    ...KINDS.map((kind) => join(directory, kind)),
    ...(secrets === undefined ? [] : [secrets]),
  ]
  const lines: string[] = []
  for (const place of places)
    for (const name of (await list(place)) ?? [])
      lines.push(`${name} ${await lookOf(join(place, name))}`)
  return sha256(lines.join('\n'))
}

/** A link that leads out of the tree would publish whatever the server can read. */
async function readInside(root: string, path: string): Promise<string> {
  const real = await realPath(path)
  if (!real.startsWith(`${root}/`)) throw unusable(path, 'it leads out of the desired state')
  const text = await readText(path, MAX_FILE)
  if (text === undefined) throw unusable(path, 'it was removed while it was read')
  return text
}

function unusable(path: string, why: string): AgentError {
  return new AgentError('desired_invalid', `Cannot use ${path}: ${why}`)
}

/** All secrets by name. One that others can read is no secret. */
async function readSecrets(directory: string | undefined): Promise<Map<string, string>> {
  const secrets = new Map<string, string>()
  if (directory === undefined) return secrets
  const names = await list(directory)
  if (names === undefined) throw unusable(directory, 'there is no such directory')
  for (const name of names.filter((one) => SECRET_NAME.test(one))) {
    const path = join(directory, name)
    if ((await lstat(path))?.kind === 'directory') continue
    if (((await fileMode(path)) & 0o007) !== 0)
      throw unusable(path, 'other users can read it, want mode 0600')
    const text = await readText(path, MAX_SECRET).catch((thrown: unknown) => {
      throw unusable(path, reasonOf(thrown))
    })
    if (text !== undefined) secrets.set(name, text.trim())
  }
  return secrets
}
