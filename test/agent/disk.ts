import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  openConfigurationFile,
  openSnapshotFile,
  openStateFile,
} from '../../src/agent/state-files.ts'
import { openDiskStore } from '../../src/identity/disk.ts'
import { Secret } from '../../src/model/secret.ts'
import { openFiles } from '../../src/targets/files.ts'
import type { Target } from '../../src/targets/target.ts'
import type { World } from './harness.ts'
import type { Stores } from './stores.ts'

/** In memory where there is some: no test here is about the disk's own speed. */
const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Output and state of an agent as files; a restart is another agent on the same. */
export class Disk implements Disposable {
  readonly #base = mkdtempSync(join(parent, 'agent-test-'))
  readonly #world: World

  constructor(world: World) {
    this.#world = world
    mkdirSync(this.statePath(), { mode: 0o700 })
  }

  /** As compose.ts opens them. */
  stores(): Stores {
    const directory = this.statePath()
    const counts = { text: undefined, saves: 0, failures: 0 }
    return {
      identity: openDiskStore({ directory }),
      snapshots: { ...openSnapshotFile(directory), ...counts },
      states: { ...openStateFile(directory), ...counts },
      configurations: { ...openConfigurationFile(directory), ...counts },
    }
  }

  target(name = 'files'): Target {
    const { clock } = this.#world
    return openFiles({
      agent: 'test',
      stateDirectory: this.statePath(),
      digestKey: new Secret('key-of-digests'),
      now: () => clock.now(),
      config: {
        kind: 'files',
        name,
        directory: this.#root(name),
        env: true,
        json: true,
        vcap: false,
        types: [],
        onChange: [],
      },
    })
  }

  #root(name = 'files'): string {
    return join(this.#base, name)
  }

  path(...parts: string[]): string {
    return join(this.#root(), 'current', ...parts)
  }

  statePath(...parts: string[]): string {
    return join(this.#base, 'state', ...parts)
  }

  /** Names of generations, oldest first. */
  get generations(): string[] {
    return readdirSync(this.#root()).filter((name) => name.startsWith('gen-'))
  }

  /** What readers see: text by path below `current`, without the manifest. */
  files(): Map<string, string> {
    const found = new Map<string, string>()
    for (const path of below(this.path())) {
      if (path !== 'MANIFEST.json') found.set(path, readFileSync(this.path(path), 'utf8'))
    }
    return found
  }

  /** Everything below output and state that a write would change: path, inode, time, size. */
  traces(): string[] {
    return below(this.#base).map((path) => {
      const { ino, mtimeMs, size } = lstatSync(join(this.#base, path))
      return [path, ino, mtimeMs, size].join(' ')
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.#base, { recursive: true, force: true })
  }
}

function below(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort()
}

/** Paths whose text differs, is new or is gone. */
export function changedPaths(before: Map<string, string>, after: Map<string, string>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].filter((path) => before.get(path) !== after.get(path)).sort()
}
