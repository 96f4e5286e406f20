import type { FilesTargetConfig } from '../config/config.ts'
import { problem, toAgentError } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import type { Secret } from '../model/secret.ts'
import type {
  ChangeResult,
  Desired,
  ObservedObject,
  Observed,
  Plan,
  Rendered,
  Slice,
} from '../model/target.ts'
import { HOUR } from '../model/time.ts'
import type { Instant } from '../model/time.ts'
import { bulkFiles } from '../runtime/bulk-files.ts'
import type { BulkFiles } from '../runtime/bulk-files.ts'
import { runCommand } from '../runtime/command.ts'
import { userId } from '../runtime/files.ts'
import { hmac } from '../runtime/keys.ts'
import { join } from '../runtime/path.ts'
import type { FileSet, RenderedFile } from './file-set.ts'
import { buildGeneration, changedBindings } from './files-apply.ts'
import {
  checkPlace,
  CURRENT,
  generationName,
  locate,
  MANIFEST,
  readersGroup,
} from './files-layout.ts'
import type { Base, Located } from './files-layout.ts'
import type { Manifest, Mark } from './files-manifest.ts'
import { observeGeneration } from './files-observe.ts'
import { createRender } from './files-render.ts'
import { isRootRight, prepareRoot, removeLeftovers, removeOld } from './files-root.ts'
import { isVcapAsLeft } from './files-vcap.ts'
import { openRootHooks } from './hooks-by-root.ts'
import type { RootHooksOptions } from './hooks-by-root.ts'
import { noHooks, openHooks } from './hooks.ts'
import type { Hooks } from './hooks.ts'
import type { Target } from './target.ts'

export type FilesOptions = {
  config: FilesTargetConfig
  /** `name` of agent.yaml: one part of the mark. */
  agent: string
  /** Holds the journal of the hooks; the output must not lie in it. */
  stateDirectory: string
  /** Keys the digests in the manifest, which readers can see (digest-key.ts). */
  digestKey: Secret
  now: () => Instant
  disk?: BulkFiles
  run?: typeof runCommand
  /** Commands of onChange are run by root; missing: by the agent itself. */
  root?: ByRoot
}

type ByRoot = Pick<RootHooksOptions, 'requests' | 'outcomes' | 'patience' | 'clock'>

/** Contents are read at start and after this time; in between `lstat` tells what was touched. */
const DEEP_INTERVAL = HOUR

/** Bindings as files for programs on this machine (reference/vm.md §4): generations, and one symlink to the current one. */
export function openFiles(options: FilesOptions): Target {
  return new Files(options)
}

class Files implements Target {
  readonly kind = 'files'
  readonly slices: readonly Slice[] = ['applications', 'configuration']
  readonly name: string
  readonly render: (desired: Desired, observed: Observed) => Rendered<FileSet>
  readonly #options: FilesOptions
  readonly #disk: BulkFiles
  readonly #root: string
  readonly #hooks: Hooks
  readonly #digest: (files: readonly RenderedFile[]) => string
  #located: Located = { used: false }
  /** Of the latest observe; the other part of the mark. */
  #runtimeId = ''
  /** When all contents were read last. */
  #deepAt: Instant | undefined
  #isClean = false
  /** Old generations that could not be removed: no reason to fail, as readers see the new one. */
  #leftBehind: Problem[] = []

  constructor(options: FilesOptions) {
    const { config, digestKey } = options
    this.name = config.name
    this.#options = options
    this.#disk = options.disk ?? bulkFiles
    this.#root = config.directory
    this.#digest = (files) => digestOf(digestKey, files)
    this.render = createRender({ ...config, digest: this.#digest })
    this.#hooks = hooksOf(options)
  }

  async observe(runtimeId: string, signal: AbortSignal): Promise<Observed> {
    this.#runtimeId = runtimeId
    await checkPlace(this.#root, this.#options.stateDirectory)
    const known = this.#located.used ? this.#located.base : undefined
    const located = locate({ disk: this.#disk, root: this.#root, mark: this.#mark(), known })
    const now = this.#options.now()
    // Both ways, as a clock that was set back by years must not put it off by years.
    const deep = this.#deepAt === undefined || Math.abs(now - this.#deepAt) >= DEEP_INTERVAL
    const objects = await this.#look(located, deep, signal)
    if (deep) this.#deepAt = now
    this.#located = located
    return { objects }
  }

  async #look(
    located: Located,
    deep: boolean,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ObservedObject>> {
    if (!located.used || located.base === undefined) return new Map()
    const { manifest } = located.base
    const root = this.#disk.look(`${this.#root}/`)
    const gid = this.#group()
    return observeGeneration({
      disk: this.#disk,
      directory: join(this.#root, generationName(manifest.generation)),
      manifest,
      access: { uid: userId(), gid: gid ?? root?.gid ?? -1 },
      deep,
      bent: !located.intact || !isRootRight(root, gid),
      digest: this.#digest,
      signal,
    })
  }

  async apply(plan: Plan, signal: AbortSignal): Promise<ChangeResult[]> {
    const [disk, root] = [this.#disk, this.#root]
    const idle = plan.changes.length === 0 && this.#isVcapRight()
    if (!idle) {
      await prepareRoot({ disk, root, mark: this.#mark(), gid: this.#group() })
    } else if (!this.#located.used) return []
    if (!this.#isClean) removeLeftovers(disk, root)
    this.#isClean = true
    if (idle) return []
    const manifest = await this.#publish(plan, signal)
    const { generation } = manifest
    const generations = this.#located.used ? this.#located.generations : []
    const file = disk.look(join(root, generationName(generation), MANIFEST))
    const base: Base = { manifest, mtimeMs: file?.mtimeMs ?? 0, inode: file?.inode ?? 0 }
    this.#located = { used: true, generations: [generation, ...generations], base, intact: true }
    this.#leftBehind = this.#removeOld([...generations, generation], generation)
    return plan.changes.map(({ key }) => ({ key, outcome: 'applied' }))
  }

  /** Builds the generation and lets readers see it. Until the swap nothing has changed for them, and no trace stays. */
  async #publish(plan: Plan, signal: AbortSignal): Promise<Manifest> {
    const [disk, root, located] = [this.#disk, this.#root, this.#located]
    const base = located.used ? located.base?.manifest : undefined
    const latest = located.used ? (located.generations[0] ?? 0) : 0
    const generation = latest + 1
    const directory = join(root, generationName(generation, '.new-'))
    try {
      // Of an attempt that could not even clear up.
      disk.remove(directory)
      const manifest = await buildGeneration({
        disk,
        root,
        directory,
        mark: this.#mark(),
        generation,
        base,
        access: this.#access(),
        sections: this.#sections(),
        vcap: this.#options.config.vcap,
        plan,
        signal,
      })
      await disk.sync(directory)
      const names = changedBindings(plan)
      await this.#hooks.prepare({ current: base?.generation ?? 0, next: generation, names })
      disk.rename(directory, join(root, generationName(generation)))
      await disk.swap(join(root, CURRENT), generationName(generation))
      return manifest
    } catch (thrown) {
      // Another way in which the disk refuses says nothing new.
      attempt(() => disk.remove(directory))
      throw thrown
    }
  }

  /** Made from the bindings beside it, so its absence is no change of any of them. */
  #isVcapRight(): boolean {
    const { manifest } = (this.#located.used ? this.#located.base : undefined) ?? {}
    if (manifest === undefined) return true
    const { vcap: left, generation } = manifest
    if (!this.#options.config.vcap || left === undefined)
      return !this.#options.config.vcap && left === undefined
    const directory = join(this.#root, generationName(generation))
    return isVcapAsLeft(this.#disk, directory, { left, access: this.#access() })
  }

  /** Who owns what is published. */
  #access(): { uid: number; gid: number } {
    const gid = this.#group() ?? this.#disk.look(`${this.#root}/`)?.gid ?? -1
    return { uid: userId(), gid }
  }

  #sections(): string[] {
    const { env, json } = this.#options.config
    return ['bindings', 'applications', ...(env ? ['env'] : []), ...(json ? ['json'] : [])]
  }

  #removeOld(generations: number[], current: number): Problem[] {
    const input = { disk: this.#disk, root: this.#root, mark: this.#mark() }
    const failure = attempt(() => removeOld(input, { generations, current }))
    if (failure === undefined) return []
    const { code, message } = toAgentError(failure)
    return [problem(code, message, { subject: this.#root })]
  }

  async verify(_plan: Plan, signal: AbortSignal): Promise<Problem[]> {
    const { base, intact } = { base: undefined, intact: false, ...this.#located }
    const failed = base && intact ? await this.#hooks.run(base.manifest.generation, signal) : []
    return [...this.#leftBehind, ...failed]
  }

  #mark(): Mark {
    return { agent: this.#options.agent, runtimeId: this.#runtimeId }
  }

  #group(): number | undefined {
    return readersGroup(this.#options.config.group)
  }
}

function hooksOf({ config, stateDirectory, root, run = runCommand }: FilesOptions): Hooks {
  const { name: target, onChange: hooks } = config
  if (hooks.length === 0) return noHooks
  const journal = join(stateDirectory, `hooks-${target}.json`)
  return root === undefined
    ? openHooks({ journal, hooks, run })
    : openRootHooks({ ...root, journal, target, hooks })
}

function digestOf(key: Secret, files: readonly RenderedFile[]): string {
  return hmac(key, JSON.stringify(files.map((file) => [file.path, file.private, file.data])))
}

/** What was thrown, if anything. */
function attempt(work: () => void): unknown {
  try {
    work()
    return undefined
  } catch (thrown) {
    return thrown
  }
}
