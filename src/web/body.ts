/** A body as text, or why it is not taken. */
export type Body = { text: string } | { refused: 413 | 400 }

/**
 * Reads a body of at most `limit` bytes. A larger one is given up as soon as it shows, announced or not; what is no UTF-8 is
 * refused.
 */
export async function readBody(request: Request, limit: number): Promise<Body> {
  const announced = Number(request.headers.get('content-length') ?? 0)
  if (announced > limit) return { refused: 413 }
  if (request.body === null) return { text: '' }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let size = 0
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return { text: text + decoder.decode() }
      size += value.length
      if (size > limit) {
        void reader.cancel().catch(() => undefined)
        return { refused: 413 }
      }
      text += decoder.decode(value, { stream: true })
    }
  } catch {
    return { refused: 400 }
  }
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
