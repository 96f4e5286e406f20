import type { Config, ValueSource } from '../config/config.ts'
import { AgentError } from '../model/problem.ts'
import { dirname, join } from '../runtime/path.ts'
import { HOOK_OUTCOMES, HOOKS, HOOKS_VARIABLE, hookUnits } from './systemd-hooks.ts'
import { HEAD, quoted, SERVICE, UNSET, unitPath, words } from './systemd-text.ts'
import type { ServiceFile } from './systemd-text.ts'

/** What the service is made from. */
export type ServiceInput = {
  config: Config
  /** Absolute. */
  configFile: string
  /** Absolute path of the agent's executable. */
  executable: string
}

/** The files of the service, derived from agent.yaml: which directories it may write, which groups read them. Pure. */
export function serviceFiles(input: ServiceInput): ServiceFile[] {
  refuseHidden(input)
  return [
    { path: `/etc/sysusers.d/${SERVICE}.conf`, content: sysusers(input) },
    { path: `/etc/tmpfiles.d/${SERVICE}.conf`, content: tmpfiles(input) },
    { path: unitPath(`${SERVICE}.service`), content: service(input) },
    { path: unitPath(`${SERVICE}-online.service`), content: online(input) },
    ...hookUnits({ ...input, requests: hookRequests(input.config) }),
  ]
}

/** Where the agent asks for commands as root. */
export function hookRequests({ identity }: Config): string {
  return join(identity.directory, 'hooks')
}

function service(input: ServiceInput): string {
  const { config, configFile, executable } = input
  const groups = readerGroups(config)
  // A shell's own kill: the program comes with procps, which a minimal Debian is without.
  return `${HEAD}[Unit]
Description=Runtime agent: keeps this machine in step with UCL/Compass
After=network.target nss-user-lookup.target ${HOOKS}.path
Wants=${HOOKS}.path
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=${words(executable, 'run', '--config', configFile)}
ExecReload=/bin/sh -c 'kill -HUP $MAINPID'
User=${SERVICE}
Group=${SERVICE}
${groups.length === 0 ? '' : `SupplementaryGroups=${groups.join(' ')}\n`}${credentials(config)}UMask=0077
Restart=always
RestartSec=1
RestartPreventExitStatus=0 2
WatchdogSec=60
WatchdogSignal=SIGKILL
TimeoutStopSec=15
KillMode=mixed
LimitNOFILE=65536
LimitCORE=0
Environment=${HOOKS_VARIABLE}=${HOOK_OUTCOMES}
ReadWritePaths=${writable(config).map(quoted).join(' ')}
${sandbox(input)}
[Install]
WantedBy=multi-user.target
`
}

/** What consumers order after: there is an identity. When there is none yet they start all the same, if they only want it. */
function online(input: ServiceInput): string {
  const { configFile, executable } = input
  return `${HEAD}[Unit]
Description=Runtime agent is connected to UCL/Compass
Requires=${SERVICE}.service
After=${SERVICE}.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${words(executable, 'status', '--wait=identity', '--timeout=90', '--config', configFile)}
TimeoutStartSec=120
User=${SERVICE}
Group=${SERVICE}
LimitCORE=0
${sandbox(input)}`
}

/**
 * All that systemd can take away, but for MemoryDenyWriteExecute: it puts Bun into its interpreter and takes bun:ffi, with
 * which systemd is notified. RestrictSUIDSGID and the missing chown are why tmpfiles.d makes the directories of targets: what
 * the agent makes below them has their group and set-group-id bit from the start.
 */
function sandbox(input: ServiceInput): string {
  return `${UNSET}
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=${isBelowHome(input) ? 'read-only' : 'yes'}
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
`
}

/** The user, and the groups of readers where they are missing. */
function sysusers({ config }: ServiceInput): string {
  const named = readerGroups(config).filter((group) => !/^\d+$/.test(group))
  return [
    `${HEAD}u ${SERVICE} - "Runtime agent" /var/lib/${SERVICE} /usr/sbin/nologin`,
    ...named.flatMap((group) => [`g ${group} -`, `m ${SERVICE} ${group}`]),
    '',
  ].join('\n')
}

/** What must be there before the service starts, as it can make nothing outside of the directories that it may write. */
function tmpfiles({ config, configFile }: ServiceInput): string {
  const { identity, connector } = config
  const line = (type: string, path: string, mode: string, user: string, group: string): string =>
    `${type} ${quoted(path)} ${mode} ${user} ${group}`
  const token = connector.token.from === 'file' ? [connector.token.file] : []
  const readable = [configFile, ...token]
  const places = [...new Set(readable.map((path) => dirname(path)))].filter(
    (path) => path === `/etc/${SERVICE}`,
  )
  return [
    `${HEAD}${line('d', `/var/lib/${SERVICE}`, '0711', SERVICE, SERVICE)}`,
    line('d', identity.directory, '0700', SERVICE, SERVICE),
    line('d', hookRequests(config), '0700', SERVICE, SERVICE),
    line('d', HOOK_OUTCOMES, '0755', 'root', 'root'),
    ...readPlaces(config).map(({ directory, group = SERVICE }) =>
      line('d', directory, '2750', SERVICE, group),
    ),
    // Whose it is stays: the service may write there, too.
    ...daprResources(config).map((path) => `a+ ${quoted(path)} - - - - u:${SERVICE}:rwx`),
    ...places.map((path) => line('d', path, '0750', 'root', SERVICE)),
    ...readable.map((path) => line('z', path, '0640', 'root', SERVICE)),
    '',
  ].join('\n')
}

/** Directories of the agent's own that a group reads. */
function readPlaces({ targets }: Config): ReadPlace[] {
  return targets.flatMap((target): ReadPlace[] => {
    if (target.kind === 'files') return [target]
    return target.kind === 'dapr' ? [{ ...target, directory: target.secrets }] : []
  })
}

type ReadPlace = { directory: string; group?: string }

/** Directories of somebody else in which there is one file of ours. */
function daprResources({ targets }: Config): string[] {
  return targets.flatMap((target) => (target.kind === 'dapr' ? [target.resources] : []))
}

function readerGroups(config: Config): string[] {
  const groups = readPlaces(config).flatMap(({ group }) => (group === undefined ? [] : [group]))
  return [...new Set(groups)].sort()
}

function writable(config: Config): string[] {
  const own = `/var/lib/${SERVICE}`
  const places = readPlaces(config).map(({ directory }) => directory)
  const named = [config.identity.directory, ...places, ...daprResources(config)]
  const others = named.filter((path) => !`${path}/`.startsWith(`${own}/`))
  return [own, ...new Set(others)]
}

/** Those that systemd hands over: in the form that looks into the credential store, and may be absent. */
function credentials({ connector: { token, ca } }: Config): string {
  return [token, ca]
    .flatMap((source) => (source?.from === 'credential' ? [source.credential] : []))
    .map((name) => `LoadCredential=${name}\n`)
    .join('')
}

const HOMES = ['/home', '/root', '/run/user']
const TEMPORARY = ['/tmp', '/var/tmp']

function isBelow(path: string, directories: readonly string[]): boolean {
  return directories.some((directory) => `${path}/`.startsWith(`${directory}/`))
}

function pathsOf({ config, configFile, executable }: ServiceInput): string[] {
  const { token, ca } = config.connector
  const files = [token, ca].flatMap((source: ValueSource | undefined) =>
    source?.from === 'file' ? [source.file] : [],
  )
  return [executable, configFile, ...files, ...writable(config)]
}

function isBelowHome(input: ServiceInput): boolean {
  return pathsOf(input).some((path) => isBelow(path, HOMES))
}

/** The service has temporary directories of its own. */
function refuseHidden(input: ServiceInput): void {
  const hidden = pathsOf(input).find((path) => isBelow(path, TEMPORARY))
  if (hidden === undefined) return
  throw new AgentError(
    'usage',
    `Cannot make a service of it: ${hidden} is in a temporary directory, which the service does not see`,
    { hint: 'put it elsewhere, for example below /etc/runtime-agent or /var/lib/runtime-agent' },
  )
}
