import { SECOND } from '../model/time.ts'
import type { Duration } from '../model/time.ts'

/** How long a client wants to wait for news (`Prefer: wait=50`, RFC 7240), cut to `most`; 0 when it does not. */
export function preferredWait(header: string | undefined, most: Duration): Duration {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(header ?? '') ?? []
  return Math.min(Number(seconds ?? 0) * SECOND, most)
}
