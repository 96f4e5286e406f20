/** Small releases whose agent is a shell script, and the systemctl that it is started by. */
import { generateKeyPairSync } from 'node:crypto'
import * as fs from 'node:fs'
import { pack } from '../../../scripts/release.ts'
import { seal, stampedInstaller } from '../../../scripts/seal.ts'
import { openMachine } from './machine.ts'
import type { Machine } from './machine.ts'

/** A key pair that signs nothing but these. */
export function makeKey(): { privatePem: string; publicPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
  }
}

export const key = makeKey()

const ARCH = process.arch === 'arm64' ? 'arm64' : 'x64'
/** The executable for this machine. */
export const EXECUTABLE = `agent-linux-${ARCH}`

export type Release = {
  version?: string
  /** Whether a service of it becomes ready; `dies`: some time after it was. */
  becomes?: 'ready' | 'failed' | 'dies' | 'unconnected'
  /** A line that the units get, as if the version had changed them. */
  unitLine?: string
  /** Puts these bytes at the end, so that there is something to cut off. */
  ballast?: number
  /** Whose; `undefined`: nobody signs. */
  privatePem?: string | undefined
}

/** Writes a release below a directory of the machine, by default /release, with install.sh that believes {@link key}. */
export function putRelease(machine: Machine, given: Release = {}, directory = '/release'): void {
  const { version = '1.0.0', becomes = 'ready', unitLine = '', ballast = 0 } = given
  fs.rmSync(machine.path(directory), { recursive: true, force: true })
  for (const platform of [`linux-${ARCH}`, `linux-${ARCH}-musl`]) {
    const file = `${directory}/agent-${platform}`
    // Bytes that cannot be compressed.
    const rest = Buffer.alloc(ballast).map(() => 33 + Math.floor(Math.random() * 90))
    machine.write(file, `${AGENT(version, becomes, unitLine)}exit\n#${rest.toString()}`, 0o755)
    pack(machine.path(file), { quick: true })
  }
  machine.write(`${directory}/VERSION`, `${version}\n`)
  machine.write(`${directory}/agent.example.yaml`, 'version: 1\n')
  machine.write(`${directory}/install.sh`, stampedInstaller(key.publicPem), 0o755)
  seal(machine.path(directory), 'privatePem' in given ? given.privatePem : key.privatePem)
}

const AGENT = (version: string, becomes: string, line: string): string => `#!/bin/sh
# Stands for the agent.
unit() { printf '# Made by agent install systemd from agent.yaml, and made anew by it\\n%s\\n' "$2" >"$1"; }
case $1 in
  version) echo 'runtime-agent ${version} (bun 1, linux-x64)' ;;
  check)
    grep -q 'version: 1' "$3" && exit
    printf 'agent: error: Cannot use config %s: version: found 9, want 1 [config_invalid]\\n  whose turn: operator; fix it\\n' "$3" >&2
    exit 2
    ;;
  install)
    grep -q runtime-agent /etc/group || { echo 'runtime-agent:x:990:' >>/etc/group
      echo 'runtime-agent:x:990:990::/var/lib/runtime-agent:/usr/sbin/nologin' >>/etc/passwd; }
    [ ! -e /run/refuses ] || { echo 'agent: error: Cannot install the service: systemd-sysusers ended with 1' >&2; exit 1; }
    mkdir -p /etc/systemd/system /etc/sysusers.d /etc/tmpfiles.d /var/lib/runtime-agent/out
    unit /etc/sysusers.d/runtime-agent.conf 'u runtime-agent'
    unit /etc/tmpfiles.d/runtime-agent.conf 'd /var/lib/runtime-agent 0711 runtime-agent runtime-agent
d /srv/bindings 2750 runtime-agent apps'
    unit /etc/systemd/system/runtime-agent.service "[Service]
ExecStart=$4 run --config $6
${line}
[Install]
WantedBy=multi-user.target"
    unit /etc/systemd/system/runtime-agent-online.service '[Service]'
    ;;
  status) [ "$(cat /run/runs)" = '${version}' ] && [ '${becomes}' = ready ] ;;
  # By the systemctl below.
  ready) [ '${becomes}' != failed ] || exit 1; echo '${version}' >/run/runs; echo '${becomes}' >/run/becomes ;;
esac
`

/** A machine with a systemd and a release 1.0.0. */
export function machineWithRelease(): Machine {
  const machine = openMachine()
  putSystemd(machine)
  putRelease(machine)
  return machine
}

/** What systemctl was called with. */
export function calls(machine: Machine): string[] {
  return machine.exists('/run/calls') ? machine.read('/run/calls').trim().split('\n') : []
}

/** A systemd, of which only systemctl is there, and which keeps what it was told in /run. */
export function putSystemd(machine: Machine, version = 252): void {
  machine.write('/run/systemd/system/.keep', '')
  // The executable of the service's process.
  machine.stub(
    'readlink',
    `case $1 in
  /proc/*) echo "/usr/local/lib/runtime-agent/$(cat /run/runs)/agent" ;;
  *) exec /usr/bin/readlink "$@" ;;
esac`,
  )
  // It would be waited for in vain.
  machine.stub('sleep', '')
  machine.stub(
    'systemctl',
    `
[ "$1" = --version ] && { echo 'systemd ${version} (${version}.1)'; exit; }
echo "$*" >>/run/calls
service=/etc/systemd/system/runtime-agent.service
case $1 in
  is-active) [ -e /run/active ] ;;
  show) echo 'MainPID=7'
    [ "$(cat /run/becomes)" != dies ] || { n=$(cat /run/deaths 2>/dev/null); echo "NRestarts=$n"; echo "x$n" >/run/deaths; } ;;
  start | restart)
    [ ! -e /run/slow ] || { touch /run/waiting; /usr/bin/sleep 30; }
    program=$(sed -n 's|^ExecStart=\\(.*\\) run .*|\\1|p' $service)
    if [ "$1" = restart ] || [ ! -e /run/active ]; then
      rm -f /run/active
      "$program" ready || { echo 'Job for runtime-agent.service failed.' >&2; exit 1; }
    fi
    touch /run/active ;;
  stop) rm -f /run/active ;;
  disable) rm -f /run/enabled /run/active ;;
  enable) touch /run/enabled ;;
esac`,
  )
}
