import { Argument } from 'commander'
import type { Command } from 'commander'
import { AgentError } from '../model/problem.ts'
import { SECOND } from '../model/time.ts'
import { runCommand } from '../runtime/command.ts'
import {
  ensureDirectory,
  isWritableByOthers,
  lstat,
  readText,
  userId,
  writeAtomic,
} from '../runtime/files.ts'
import { dirname, join, resolve } from '../runtime/path.ts'
import { ownExecutable, platform, workingDirectory } from '../runtime/process.ts'
import { loadConfig } from './load-config.ts'
import { withExample } from './options.ts'
import type { ConfigOption } from './options.ts'
import { SERVICE } from './systemd-text.ts'
import type { ServiceFile } from './systemd-text.ts'
import { serviceFiles } from './systemd-units.ts'
import { note, print } from './terminal.ts'

type InstallOptions = ConfigOption & { dryRun?: boolean; root?: string; executable?: string }

export function registerInstall(program: Command): void {
  const command = program
    .command('install')
    .description('make a service of it, from what agent.yaml says; again after it has changed')
    .addArgument(new Argument('<what>', 'which kind of service').choices(['systemd']))
    .option('-c, --config <file>', 'the configuration', `/etc/${SERVICE}/agent.yaml`)
    .option('--dry-run', 'print the files and change nothing')
    .option(
      '--root <dir>',
      'read the configuration and write the files below it, and start nothing: for an image',
    )
    .option('--executable <file>', 'what the service starts (default: this program)')
  withExample(
    command,
    `agent install systemd --dry-run`,
    'sudo agent install systemd && sudo systemctl enable --now runtime-agent',
  ).action((_what: string, options: InstallOptions) => install(options))
}

async function install(options: InstallOptions): Promise<void> {
  const configFile = resolve(workingDirectory(), options.config)
  const root = options.root === undefined ? undefined : resolve(workingDirectory(), options.root)
  const { config } = await loadConfig(root === undefined ? options.config : join(root, configFile))
  const executable = executableFor(options)
  const files = serviceFiles({ config, configFile, executable })
  if (options.dryRun === true) {
    print(files.map(({ path, content }) => `### ${path}\n${content}`).join('\n'))
    return
  }
  if (root !== undefined) {
    await writeFiles(files, root)
    return
  }
  await refuseHere([executable, configFile])
  await writeFiles(files, '/')
  for (const argv of commandsFor(files)) await runOrFail(argv)
  note(`agent: the service is installed; start it with
  systemctl enable --now ${SERVICE}.service
or, when it runs already and more than agent.yaml has changed,
  systemctl restart ${SERVICE}.service`)
}

/** As it was named, symlinks not followed: they may lead to another version some day. */
function executableFor({ executable }: InstallOptions): string {
  const path = executable ?? ownExecutable()
  if (path === undefined) {
    throw new AgentError(
      'usage',
      'Cannot install a service: this program is not one executable, so --executable must name one',
    )
  }
  return resolve(workingDirectory(), path)
}

/** What would fail half way, or let another user decide what the service does. */
async function refuseHere(paths: string[]): Promise<void> {
  const refuse = (why: string): never => {
    throw new AgentError('usage', `Cannot install the service: ${why}`, {
      hint: '--dry-run prints the files, --root DIR writes them elsewhere',
    })
  }
  if (platform !== 'linux' || (await lstat('/run/systemd/system')) === undefined)
    refuse('this machine does not run systemd')
  if (userId() !== 0) refuse('only root can')
  for (const path of paths) {
    if ((await lstat(path)) === undefined) refuse(`there is no ${path}`)
    const open = await isWritableByOthers(path)
    if (open !== undefined) refuse(`other users than root can change ${open}`)
  }
}

/** Writes what differs. */
async function writeFiles(files: ServiceFile[], root: string): Promise<void> {
  for (const { path, content } of files) {
    const place = join(root, path)
    const before = await readText(place)
    if (before !== content) {
      await makeDirectories(dirname(place))
      await writeAtomic(place, content, { mode: 0o644 })
    }
    note(`agent: ${before === content ? 'unchanged' : 'written'}: ${place}`)
  }
}

/** As the system's own: those that are there stay as they are. */
async function makeDirectories(path: string): Promise<void> {
  if ((await lstat(path)) !== undefined) return
  await makeDirectories(dirname(path))
  await ensureDirectory(path, { mode: 0o755 })
}

function commandsFor(files: ServiceFile[]): string[][] {
  const placed = (part: string): string[] =>
    files.map(({ path }) => path).filter((path) => path.includes(part))
  return [
    ['systemd-sysusers', ...placed('/sysusers.d/')],
    ['systemd-tmpfiles', '--create', ...placed('/tmpfiles.d/')],
    ['systemctl', 'daemon-reload'],
  ]
}

async function runOrFail(argv: string[]): Promise<void> {
  const { signal } = new AbortController()
  const { code, output } = await runCommand(argv, { timeout: 60 * SECOND, signal })
  if (code === 0) return
  const said = output.trim().split('\n').at(-1) ?? ''
  throw new AgentError(
    'install_failed',
    `Cannot install the service: ${argv.join(' ')} ended with ${code}${said === '' ? '' : `: ${said}`}`,
  )
}
