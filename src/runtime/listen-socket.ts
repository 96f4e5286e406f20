import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { AgentError } from '../model/problem.ts'
import { errorCode } from './disk-error.ts'

/** Bytes of the path of a Unix socket: `sun_path` without its closing zero byte. */
export const LONGEST_SOCKET_PATH = process.platform === 'darwin' ? 103 : 107

/**
 * Makes a socket file under a private name, gives it its mode and only then its real name: nobody can connect before the
 * mode stands, and a dead socket (its process was killed) is replaced in the same step.
 *
 * `bind` binds to the path that it is given. Returns what removes the file. Throws `listen_failed` when a live server or
 * something that is no socket has the name.
 */
export async function claimSocket(
  path: string,
  mode: number,
  bind: (path: string) => Promise<void>,
): Promise<() => Promise<void>> {
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) throw withCode('ENAMETOOLONG')
  await fs.access(dirname(path))
  await refuseTaken(path)
  const temporary = join(dirname(path), `.${randomBytes(3).toString('hex')}`)
  const umask = process.umask(0o177)
  try {
    // The call binds before it returns, so nothing else runs under this umask.
    const bound = bind(temporary)
    process.umask(umask)
    await bound
    await fs.chmod(temporary, mode)
    await fs.rename(temporary, path)
  } catch (thrown) {
    process.umask(umask)
    await fs.rm(temporary, { force: true }).catch(() => undefined)
    throw thrown
  }
  return () => fs.rm(path, { force: true })
}

async function refuseTaken(path: string): Promise<void> {
  const stat = await fs.lstat(path).catch((thrown: unknown) => {
    if (errorCode(thrown) === 'ENOENT') return undefined
    throw thrown
  })
  if (!stat) return
  if (!stat.isSocket()) {
    throw new AgentError('listen_failed', `Cannot listen on ${path}: there is something else`)
  }
  if (await isAlive(path)) throw withCode('EADDRINUSE')
}

/** Whether a process accepts connections there. */
function isAlive(path: string): Promise<boolean> {
  const net = process.getBuiltinModule('node:net')
  return new Promise((resolve) => {
    const socket = net.connect({ path })
    const done = (alive: boolean): void => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code })
}
