import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FilesTargetConfig } from '../../src/config/config.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY } from '../../src/model/time.ts'
import { openFiles } from '../../src/targets/files.ts'
import type { FilesOptions } from '../../src/targets/files.ts'
import type { Target } from '../../src/targets/target.ts'

export type Settings = Partial<Omit<FilesOptions, 'config'>> & {
  config?: Partial<FilesTargetConfig>
}

/**
 * Memory where there is some: an ext4 without journal (common in virtual machines) looks at every inode freed in the
 * last minutes before it gives one out, so that thousands of small files made and removed by tests take minutes.
 */
const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A directory for one test with an output and a state directory in it. */
export class Output {
  readonly base: string
  readonly root: string
  readonly state: string
  now = 100 * DAY

  constructor() {
    this.base = mkdtempSync(join(parent, 'agent-files-'))
    this.root = join(this.base, 'out')
    this.state = join(this.base, 'state')
    mkdirSync(this.state, { mode: 0o700 })
  }

  open(settings: Settings = {}): Target {
    return openFiles({
      agent: 'default',
      stateDirectory: this.state,
      digestKey: new Secret('key of digests'),
      now: () => this.now,
      ...settings,
      config: {
        kind: 'files',
        name: 'files',
        directory: this.root,
        env: true,
        json: true,
        vcap: false,
        types: [],
        onChange: [],
        ...settings.config,
      },
    })
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts)
  }

  get generations(): string[] {
    return existsSync(this.root)
      ? readdirSync(this.root)
          .filter((name) => name.startsWith('gen-'))
          .sort()
      : []
  }

  /** All names in the root, sorted. */
  get names(): string[] {
    return existsSync(this.root) ? readdirSync(this.root).sort() : []
  }

  remove(): void {
    rmSync(this.base, { recursive: true, force: true })
  }
}

export type Bindings = Record<string, Record<string, string>>

/** A bare servicebinding.io reader: every file of every binding, as text. */
export function readBindings(root: string): Bindings {
  const names = readdirSync(root)
  return Object.fromEntries(
    names.map((name) => {
      const keys = readdirSync(join(root, name))
      return [
        name,
        Object.fromEntries(keys.map((key) => [key, readFileSync(join(root, name, key), 'utf8')])),
      ]
    }),
  )
}
