/**
 * Squid, a proxy as companies have it: CONNECT only for those who log in, names that only it knows, TLS to itself, IPv6.
 * tinyproxy has no port for TLS, knows only the names of the machine, and its log does not tell who asked.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipUnless } from '../../skip.ts'
import { freePort, temporaryDirectory } from './agent-home.ts'
import { until } from './program.ts'

const PROGRAM = Bun.which('squid', { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` })
const CHECK_PASSWORD = '/usr/lib/squid/basic_ncsa_auth'

/** `test` for what needs squid. */
export const needsSquid = skipUnless(PROGRAM !== null && existsSync(CHECK_PASSWORD), {
  why: 'squid is not installed',
  how: 'apt-get install squid',
})

/** Where squid comes from when it connects: so that who was reached through it can tell. */
export const SQUID_ADDRESS = '127.0.0.7'

/** One CONNECT, written when it has ended. */
export type Tunnel = { status: number; to: string; user: string }

export type Squid = {
  /** Of 127.0.0.1 and ::1. */
  readonly port: number
  /** Of 127.0.0.1, over TLS. */
  readonly tlsPort: number
  start(): Promise<void>
  stop(): Promise<void>
  tunnels(): Tunnel[]
}

export type SquidOptions = {
  /** `user:password` of who may use it. */
  login: string
  /** Lines of a hosts file. */
  hosts: readonly string[]
  /** PEM of its own certificate and its key, for the port with TLS. */
  tls: { certificate: string; key: string }
}

/** A squid that is not started yet. */
export async function openSquid({ login, hosts, tls }: SquidOptions): Promise<Squid> {
  const directory = temporaryDirectory()
  const path = (name: string): string => join(directory, name)
  const [port, tlsPort] = [await freePort(), await freePort()]
  // Squid gives up the rights of root for those of a user that is nobody here.
  chmodSync(directory, 0o777)
  const colon = login.indexOf(':')
  const [user, password] = [login.slice(0, colon), login.slice(colon + 1)]
  const hash = Bun.spawnSync(['openssl', 'passwd', '-apr1', password]).stdout.toString()
  const files = {
    users: `${user}:${hash}`,
    hosts: hosts.join('\n'),
    'cert.pem': tls.certificate,
    'key.pem': tls.key,
    'squid.conf': configuration(path, { port, tlsPort }),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(path(name), text)
  let running: Bun.Subprocess | undefined
  const stop = async (): Promise<void> => {
    running?.kill('SIGKILL')
    await running?.exited
  }
  return {
    port,
    tlsPort,
    stop,
    async start() {
      const child = Bun.spawn([PROGRAM ?? 'squid', '-N', '-f', path('squid.conf')], {
        cwd: directory,
        stdio: ['ignore', 'ignore', 'ignore'],
      })
      running = child
      await until('squid answers', async () => {
        if (child.exitCode !== null) throw new Error(`squid ended:\n${read(path('cache.log'))}`)
        const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)
        return answer !== undefined
      })
    },
    tunnels: () =>
      read(path('access.log'))
        .split('\n')
        .map((line) => line.split(' '))
        .filter(([, method]) => method === 'CONNECT')
        .map(([status, , to = '', who = '']) => ({ status: Number(status), to, user: who })),
  }
}

function configuration(
  path: (name: string) => string,
  { port, tlsPort }: { port: number; tlsPort: number },
): string {
  return `
http_port 127.0.0.1:${port}
http_port [::1]:${port}
https_port 127.0.0.1:${tlsPort} tls-cert=${path('cert.pem')} tls-key=${path('key.pem')}
tcp_outgoing_address ${SQUID_ADDRESS}
hosts_file ${path('hosts')}
dns_nameservers 127.0.0.1
auth_param basic program ${CHECK_PASSWORD} ${path('users')}
auth_param basic children 2 startup=1
acl known proxy_auth REQUIRED
acl forbidden dstdomain forbidden.test
http_access deny forbidden
http_access allow known
http_access deny all
logformat tunnel %>Hs %rm %ru %un
access_log stdio:${path('access.log')} tunnel
cache_log ${path('cache.log')}
cache_store_log none
cache deny all
cache_mem 0
cache_effective_user nobody
coredump_dir ${path('')}
connect_timeout 2 seconds
max_filedescriptors 512
netdb_filename none
pid_filename none
pinger_enable off
visible_hostname proxy.test
`
}

function read(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
