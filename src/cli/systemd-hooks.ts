import { HEAD, SERVICE, UNSET, unitPath, words } from './systemd-text.ts'
import type { ServiceFile } from './systemd-text.ts'

/** Units that run what `onChange` asks for as root: the agent may not even ask systemd to reload a service. */
export const HOOKS = `${SERVICE}-hooks`

/** Root's own directory for what came of the commands, which the agent can only read. */
export const HOOK_OUTCOMES = `/var/lib/${HOOKS}`

/** In the environment of the agent: there is somebody who runs hooks as root, and tells of them in this directory. */
export const HOOKS_VARIABLE = 'RUNTIME_AGENT_HOOKS'

type HookUnitsInput = {
  executable: string
  /** Absolute. */
  configFile: string
  /** Where the agent asks. */
  requests: string
}

/** The path unit and the service that it starts; runtime-agent.service pulls the former in. Pure. */
export function hookUnits(input: HookUnitsInput): ServiceFile[] {
  return [
    { path: unitPath(`${HOOKS}.path`), content: pathUnit(input) },
    { path: unitPath(`${HOOKS}.service`), content: service(input) },
  ]
}

/** A path is one word to its end there; only % has a meaning. */
function pathUnit({ requests }: HookUnitsInput): string {
  return `${HEAD}[Unit]
Description=Runtime agent asks for a command of onChange
PartOf=${SERVICE}.service

[Path]
DirectoryNotEmpty=${requests.replaceAll('%', '%%')}
`
}

/**
 * As narrow as commands can bear that nobody knows here: they may start and reload units, write to /etc and /var, see
 * processes and use the network. ExecStopPost is a brake: a request that cannot be removed starts this again, without end.
 */
function service({ executable, configFile, requests }: HookUnitsInput): string {
  const options = ['--config', configFile, '--requests', requests, '--outcomes', HOOK_OUTCOMES]
  return `${HEAD}[Unit]
Description=Commands of onChange for the runtime agent
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${words(executable, 'hooks', 'run', ...options)}
ExecStopPost=/bin/sleep 1
TimeoutStartSec=infinity
TimeoutStopSec=15
LimitCORE=0
${UNSET}
NoNewPrivileges=yes
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_BLOCK_SUSPEND CAP_BPF CAP_LEASE CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_MKNOD CAP_PERFMON CAP_SYSLOG CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM
AmbientCapabilities=
ProtectSystem=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
`
}
