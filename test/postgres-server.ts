/**
 * A real PostgreSQL of our own: made by initdb, on a free port of loopback, gone with the test. As root it runs as the
 * user postgres, since it refuses to run as root. Tests get it through postgres.ts; this file is for scripts too.
 */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../src/model/secret.ts'

const PACKAGES = '/usr/lib/postgresql'
const isRoot = process.geteuid?.() === 0
const user = isRoot ? userIds('postgres') : undefined
const programs = findPrograms()
/** Whether {@link startPostgres} can work here. */
export const hasPostgres = programs !== undefined && (!isRoot || user !== undefined)

export interface Postgres {
  /** A new, empty database, as a URL of its own. */
  database(): Secret
  /** `kill -9` of the server and all of its connections, and a start on the same data and port. */
  restart(): Promise<void>
  /** Runs SQL with psql and gives what it prints. */
  psql(database: Secret, sql: string): string
  /** What pg_dump prints of a database, and the way back. */
  dump(database: Secret): string
  stop(): Promise<void>
}

/** Starts a server; takes about two seconds. */
export async function startPostgres(): Promise<Postgres> {
  if (programs === undefined) throw new Error('PostgreSQL is not installed')
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'postgres-'))
  if (user !== undefined) chownSync(directory, user.uid, user.gid)
  const data = join(directory, 'data')
  const made = spawnSync(
    ...asUser([
      'initdb',
      '-D',
      data,
      '-A',
      'trust',
      '-U',
      'test',
      '-E',
      'UTF8',
      '--no-sync',
      '--locale=C',
    ]),
  )
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr.toString()}`)
  const port = await freePort()
  let server = await startServer(data, port)
  let databases = 0
  const tool = (args: string[], input?: string): string => {
    const run = spawnSync(join(programs, args[0] ?? ''), args.slice(1), { encoding: 'utf8', input })
    if (run.status !== 0) throw new Error(`${args[0] ?? ''} failed: ${run.stderr}`)
    return run.stdout
  }
  return {
    database() {
      databases += 1
      const url = (name: string): string => `postgres://test@127.0.0.1:${port}/${name}`
      tool(['psql', '-qAtX', url('postgres'), '-c', `create database test${databases}`])
      return new Secret(url(`test${databases}`))
    },
    async restart() {
      await ended(server, 'SIGQUIT')
      server = await startServer(data, port)
    },
    psql: (database, sql) =>
      tool(['psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', database.reveal()], sql),
    dump: (database) => tool(['pg_dump', database.reveal()]),
    async stop() {
      await ended(server, 'SIGQUIT')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function startServer(data: string, port: number): Promise<ChildProcess> {
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'fsync=off',
    'max_connections=60',
  ]
  const [program, args] = asUser([
    'postgres',
    '-D',
    data,
    ...settings.flatMap((one) => ['-c', one]),
  ])
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('ready to accept connections')) resolve()
    })
    child.once('exit', () => reject(new Error(`postgres ended: ${said}`)))
  })
  child.stderr.resume()
  return child
}

/** SIGQUIT is an immediate shutdown, as after kill -9: the next start recovers. */
async function ended(child: ChildProcess, signal: 'SIGQUIT'): Promise<void> {
  if (child.exitCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await gone
}

function asUser([program = '', ...args]: string[]): [string, string[]] {
  const path = join(programs ?? '', program)
  if (user === undefined) return [path, args]
  const ids = [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
  return ['setpriv', [...ids, '--', path, ...args]]
}

function userIds(name: string): { uid: number; gid: number } | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }))
  if (uid?.status !== 0 || gid?.status !== 0) return undefined
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
}

/** The directory of initdb, postgres, psql and pg_dump, of the newest version that is installed. */
function findPrograms(): string | undefined {
  const versions = existsSync(PACKAGES) ? readdirSync(PACKAGES) : []
  const newest = versions.sort((a, b) => Number(b) - Number(a))
  return newest
    .map((version) => join(PACKAGES, version, 'bin'))
    .find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')))
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = address === null || typeof address === 'string' ? 0 : address.port
      server.close(() => resolve(port))
    })
  })
}
