import type { Trigger } from '../agent/ports.ts'
import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Status } from '../model/status.ts'
import type { Instant } from '../model/time.ts'
import { APPROVE, PAUSE } from './compass-connection.ts'
import type { Granted, Remarks } from './compass-connection.ts'
import { hasCertificate, memberOf } from './connection-fields.ts'
import { connectionState } from './connection-state.ts'

/** What people want of the agent by changing the CompassConnection. */
export type Wishes = {
  /** The CR as it is now; undefined: there is none. `before`: as it was last seen, undefined for the first look. */
  see(after: KubeObject | undefined, before: { object: KubeObject | undefined } | undefined): void
  /** What the agent has come to. */
  learn(status: Status): void
  /** What was done, and is to be taken back in the CR. */
  granted(): Granted
  remarks(): Remarks
}

type Reconnect = { fingerprint: string | undefined; asked: boolean }

const HASH = /^[0-9a-f]{12}$/

/**
 * Turns changes of the CR into triggers (reference/go-agent.md §4): `resyncNow`, `refreshCredentialsNow`, and deletion,
 * which means "enrol again with the token of the Secret"; beyond the Go agent, the annotations `approve: HASH` and
 * `pause: "true"`. A wish is asked once, however often the CR is seen, and counts as granted when its work is done: one
 * that fails stays in the CR while the loop tries on.
 */
export function openWishes(ask: (trigger: Trigger) => void, now: () => Instant): Wishes {
  let status: Status | undefined
  let resync: { at: Instant; done: boolean } | undefined
  let refresh: { fingerprint: string | undefined } | undefined
  let reconnect: Reconnect | undefined
  let approve: { value: string; done: boolean } | undefined
  let pause: string | undefined
  let remarks: Remarks = {}

  const remark = (about: string, text: string): void => {
    remarks = { ...remarks, [about]: text }
  }
  const forget = (about: string): void => {
    const { [about]: _, ...others } = remarks
    remarks = others
  }
  const fingerprint = (): string | undefined => status?.identity?.fingerprint

  function wishResync(wanted: boolean): void {
    if (!wanted) resync = undefined
    else if (resync === undefined) {
      const wish = { at: now(), done: false }
      resync = wish
      ask({ kind: 'sync', reply: () => (wish.done = true) })
    }
  }

  function wishRefresh(object: KubeObject | undefined, wanted: boolean): void {
    if (!wanted) refresh = undefined
    else if (refresh === undefined) {
      const identity = status?.identity
      // Renewed already, and ended before the CR could say so: another certificate would be one too many.
      const told = hasTimes(object)
      const done = identity !== undefined && told && !hasCertificate(object, identity)
      refresh = { fingerprint: done ? '' : identity?.fingerprint }
      if (!done) ask({ kind: 'renew' })
    }
  }

  function wishApprove(value: string | undefined): void {
    if (value === undefined) {
      approve = undefined
      return
    }
    if (approve?.value === value) return
    const wish = { value, done: false }
    approve = wish
    const hash = value.trim()
    const end = (text: string): void => {
      wish.done = true
      remark('approve', text)
    }
    if (!HASH.test(hash)) {
      end('a hash is 12 hex characters')
      return
    }
    ask({
      kind: 'approve',
      hash,
      reply: ({ refused }) => end(refused === undefined ? `${hash}: done` : refused.message),
    })
  }

  function wishPause(value: string | undefined): void {
    const before = pause
    pause = value
    if (value === before) return
    forget('pause')
    if (value === 'true') setPaused(true)
    else if (value === 'false' || (value === undefined && before === 'true')) setPaused(false)
    else if (value !== undefined) remark('pause', 'want "true" or "false"')
  }

  function setPaused(paused: boolean): void {
    if (status?.paused !== paused) ask({ kind: paused ? 'pause' : 'resume' })
  }

  /** Without a token that was not used before it waits for one: the present identity goes on meanwhile. */
  function pursueReconnect(): void {
    if (reconnect === undefined || status === undefined) return
    if (fingerprint() !== reconnect.fingerprint) {
      reconnect = undefined
      forget('reconnect')
      return
    }
    const usable = status.token === 'unspent' || status.token === 'in-use'
    if (!usable) {
      reconnect.asked = false
      remark('reconnect', 'waits for a token that was not used before')
    } else if (!reconnect.asked) {
      reconnect.asked = true
      forget('reconnect')
      ask({ kind: 'reconnect' })
    }
  }

  return {
    see(after, before) {
      const known = before?.object
      if (known !== undefined && known.metadata.uid !== after?.metadata.uid) {
        reconnect = { fingerprint: fingerprint(), asked: false }
        pursueReconnect()
      }
      const spec = memberOf(after?.['spec'])
      const annotations = after?.metadata.annotations ?? {}
      wishResync(spec['resyncNow'] === true)
      wishRefresh(after, spec['refreshCredentialsNow'] === true)
      wishApprove(annotations[APPROVE])
      wishPause(annotations[PAUSE])
    },
    learn(given) {
      status = given
      pursueReconnect()
    },
    granted() {
      return {
        resync: resync?.done === true && status !== undefined && isGood(status, resync.at),
        refresh: refresh !== undefined && refresh.fingerprint !== fingerprint(),
        ...(approve?.done === true ? { approve: approve.value } : {}),
      }
    },
    remarks: () => remarks,
  }
}

function hasTimes(object: KubeObject | undefined): boolean {
  const connection = memberOf(memberOf(object?.['status'])['connectionStatus'])
  return typeof memberOf(connection['certificateStatus'])['notAfter'] === 'string'
}

/** Whether a pass since then was good in every part. */
function isGood(status: Status, since: Instant): boolean {
  const { sources, targets } = status
  const all = [...sources, ...targets]
  const done = all.every(({ lastSuccess }) => lastSuccess !== undefined && lastSuccess >= since)
  return done && connectionState(status, undefined)?.state === 'Synchronized'
}
