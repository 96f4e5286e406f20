import type { Trigger, Triggers } from '../agent/ports.ts'

/** Triggers in the order in which they were asked for; whoever waits is woken at once. */
export type TriggerQueue = Triggers & { ask(trigger: Trigger): void }

export function openTriggerQueue(): TriggerQueue {
  const waiting: Trigger[] = []
  let wake: (() => void) | undefined
  return {
    ask(trigger) {
      waiting.push(trigger)
      wake?.()
    },
    next(signal) {
      const first = waiting.shift()
      if (first !== undefined || signal.aborted) return Promise.resolve(first)
      return new Promise((resolve) => {
        const settle = (trigger: Trigger | undefined): void => {
          signal.removeEventListener('abort', stop)
          wake = undefined
          resolve(trigger)
        }
        const stop = (): void => settle(undefined)
        wake = () => settle(waiting.shift())
        signal.addEventListener('abort', stop, { once: true })
      })
    },
  }
}
