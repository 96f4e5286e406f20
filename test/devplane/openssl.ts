import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipUnless } from '../skip.ts'

const has = (command: string, argument: string): boolean =>
  spawnSync(command, [argument]).status === 0

/** `test` for what needs the openssl command line. */
export const needsOpenssl = skipUnless(has('openssl', 'version'), {
  why: 'openssl is not installed',
  how: 'apt-get install openssl',
})

/** `test` for what needs openssl and curl. */
export const needsCurl = skipUnless(has('openssl', 'version') && has('curl', '--version'), {
  why: 'openssl or curl is not installed',
  how: 'apt-get install openssl curl',
})

/** A folder of its own for a foreign client, gone when it is done. */
export class Workbench {
  readonly folder = mkdtempSync(join(tmpdir(), 'devplane-'))

  path(name: string): string {
    return join(this.folder, name)
  }

  write(name: string, text: string): string {
    writeFileSync(this.path(name), text)
    return this.path(name)
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  /** Runs a command in the folder; what it prints to both streams. Does not block: the servers are in this process. */
  async run(command: string[], input = ''): Promise<{ code: number; output: string }> {
    const child = Bun.spawn(command, {
      cwd: this.folder,
      stdin: new Blob([input]),
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const [out, error] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    return { code: await child.exited, output: out + error }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
