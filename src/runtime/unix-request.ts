import { AgentError } from '../model/problem.ts'
import { openHttp } from './http.ts'

export type UnixAnswer = { status: number; body: string }

/** What says that there is no server: no such file, or one whose process is gone. */
const NOBODY = new Set<unknown>(['ENOENT', 'ECONNREFUSED'])

/**
 * One HTTP request over a Unix socket. Undefined: nobody listens there. Otherwise throws as {@link openHttp}'s fetch;
 * an error while the body is read is the library's own.
 */
export async function unixRequest(
  socket: string,
  { method, path }: { method: 'GET' | 'POST'; path: string },
  signal: AbortSignal,
): Promise<UnixAnswer | undefined> {
  const session = openHttp({ tls: {}, socket })
  try {
    const answer = await session.fetch(`http://localhost${path}`, { method, signal })
    return { status: answer.status, body: await answer.text() }
  } catch (thrown) {
    if (thrown instanceof AgentError && NOBODY.has(thrown.detail['reason'])) return undefined
    throw thrown
  } finally {
    await session.close()
  }
}
