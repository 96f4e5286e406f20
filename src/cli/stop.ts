import { exit, onSignal } from '../runtime/process.ts'

/** 128 + SIGINT, as shells show it. */
const INTERRUPTED = 130

/** Aborts at the first SIGINT or SIGTERM, so that everything ends in order; a second one ends the process at once. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController()
  onSignal(['SIGINT', 'SIGTERM'], () => {
    if (stop.signal.aborted) exit(INTERRUPTED)
    stop.abort()
  })
  return stop.signal
}
