import { request } from 'node:http'
import { errorCode } from './disk-error.ts'

export type UnixAnswer = { status: number; body: string }

/**
 * One HTTP request over a Unix socket. Undefined: nobody listens there (no such file, or a dead one).
 * Other errors of the system reject as they are.
 */
export function unixRequest(
  socket: string,
  { method, path }: { method: 'GET' | 'POST'; path: string },
  signal: AbortSignal,
): Promise<UnixAnswer | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath: socket, method, path, signal, headers: { host: 'localhost' } },
      (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        )
      },
    )
    asked.on('error', (thrown) => {
      const code = errorCode(thrown)
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'FailedToOpenSocket')
        resolve(undefined)
      else reject(thrown)
    })
    asked.end()
  })
}
