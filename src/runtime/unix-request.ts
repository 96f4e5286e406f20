import { AgentError } from '../model/problem.ts'
import { openHttp } from './http.ts'

export type UnixAnswer = { status: number; body: string }

/** Far more than the status of any runtime. Who answers may be another user than who asks, who may be root. */
const LARGEST = 64 * 1024 * 1024

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
    return { status: answer.status, body: await textOf(answer, socket) }
  } catch (thrown) {
    if (thrown instanceof AgentError && NOBODY.has(thrown.detail['reason'])) return undefined
    throw thrown
  } finally {
    await session.close()
  }
}

async function textOf(answer: Response, socket: string): Promise<string> {
  if (answer.body === null) return ''
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  // Leaving the loop ends the connection.
  const parts: ReadableStream<Uint8Array> = answer.body
  for await (const part of parts) {
    size += part.byteLength
    if (size > LARGEST) {
      const message = `Cannot read the answer of ${socket}: it is larger than ${LARGEST >> 20} MiB`
      throw new AgentError('answer_too_large', message)
    }
    text += decoder.decode(part, { stream: true })
  }
  return text + decoder.decode()
}
