import type { Instant } from '../model/time.ts'
import type { Port } from './call.ts'
import type { KnobName, Operation } from './knobs.ts'

/** A request that a plane has seen. Holds no body, no token and no credential. */
export type PlaneEvent = {
  /** Counts from 1. */
  sequence: number
  at: Instant
  port: Port
  method: string
  path: string
  operations: readonly Operation[]
  /** Knobs that were turned for it. */
  knobs: readonly KnobName[]
  /** `null`: the connection was closed without an answer. */
  status: number | null
  /** Bytes of the answer's body. */
  bytes: number
  /** SHA-256 of the client certificate, over mTLS. */
  fingerprint?: string
  requestId?: string
  userAgent?: string
  tenant?: string
}

const KEPT = 10_000

/** The last requests of a plane. */
export class EventLog {
  readonly #events: PlaneEvent[] = []
  readonly #listener: (event: PlaneEvent) => void
  #sequence = 0

  constructor(listener: (event: PlaneEvent) => void) {
    this.#listener = listener
  }

  add(event: Omit<PlaneEvent, 'sequence'>): void {
    this.#sequence += 1
    const numbered = { sequence: this.#sequence, ...event }
    this.#events.push(numbered)
    if (this.#events.length > KEPT) this.#events.shift()
    this.#listener(numbered)
  }

  /** Those after a sequence number, oldest first. */
  since(sequence = 0): PlaneEvent[] {
    return this.#events.filter((event) => event.sequence > sequence)
  }
}
