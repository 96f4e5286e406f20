import { joinBytes } from '../../model/bytes.ts'
import { AgentError } from '../../model/problem.ts'

const NEWLINE = 10

/**
 * The lines of a body that has no end, each without its newline. Ends with the body. Throws `answer_too_large` for a line
 * beyond `limit` bytes, `unreachable` when the body ends inside a line, what the body throws, and the reason of the
 * signal: an aborted fetch does not end its body on every runtime.
 */
export async function* linesOf(
  body: ReadableStream<Uint8Array>,
  { what, limit, signal }: { what: string; limit: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  const cancel = (): void => void reader.cancel().catch(() => undefined)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    let begun: Uint8Array[] = []
    let size = 0
    for (;;) {
      signal.throwIfAborted()
      const { value } = await reader.read()
      signal.throwIfAborted()
      if (value === undefined) break
      let at = 0
      for (let end = value.indexOf(NEWLINE); end >= 0; end = value.indexOf(NEWLINE, at)) {
        begun.push(value.subarray(at, end))
        if (size + end - at > limit) throw tooLong(what, limit)
        yield joined(begun)
        begun = []
        size = 0
        at = end + 1
      }
      if (at < value.length) begun.push(value.subarray(at))
      size += value.length - at
      if (size > limit) throw tooLong(what, limit)
    }
    if (size > 0) throw new AgentError('unreachable', `Cannot ${what}: the answer was cut`)
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

function joined(parts: Uint8Array[]): Uint8Array {
  const [first] = parts
  return parts.length === 1 && first !== undefined ? first : joinBytes(parts)
}

function tooLong(what: string, limit: number): AgentError {
  return new AgentError(
    'answer_too_large',
    `Cannot ${what}: an event is larger than ${limit} bytes`,
  )
}
