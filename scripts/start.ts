/** npm start [-- OPTIONS]   builds what is missing and starts `agent dev` with these options in this terminal. */
import { build } from './build.ts'
import { endAs, runChild } from './child.mjs'
import { hostPlatform } from './executable.ts'

try {
  const built = await build(hostPlatform === undefined ? [] : [hostPlatform])
  const [executable] = built.executables
  const args = ['dev', ...process.argv.slice(2)]
  // Where no executable can be made, the bundle runs under the Bun that runs this script.
  endAs(
    executable === undefined
      ? await runChild(process.execPath, ['--no-env-file', built.bundle, ...args])
      : await runChild(executable, args),
  )
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
