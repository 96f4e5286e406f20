import { problem } from '../model/problem.ts'
import type { Change, ChangeResult, Plan } from '../model/target.ts'
import { AgentError } from '../model/problem.ts'
import { DaprContent, titleOf } from './dapr-document.ts'
import type { DaprSecret } from './dapr-document.ts'
import type { FileObject } from './dapr-file.ts'
import type { Pin } from './dapr-journal.ts'
import type { SeenObject } from './dapr-seen.ts'

/** An object as it will be in the file. */
export type NextObject = { file: FileObject; secret: DaprSecret | undefined }

export type Chosen = {
  next: Map<string, NextObject>
  /** Changes that are not made now, with the reason. */
  held: Map<string, ChangeResult>
}

export type ChooseInput = {
  plan: Plan
  seen: ReadonlyMap<string, SeenObject>
  pins: Readonly<Record<string, Pin>>
  pipeline: ReadonlySet<string>
  /** Names that somebody else has, with where: there may be more than there were when it was rendered. */
  taken: ReadonlyMap<string, string>
  /** Name of our secret store. */
  store: string
}

/** It may have been in bad company, or daprd too busy to start it in time: what is taken back is tried once more. */
const TRIES = 2

/** What the file shall hold: what the plan changes, and everything else as it is. Pure. */
export function choose({ plan, seen, pins, pipeline, taken, store }: ChooseInput): Chosen {
  const held = new Map<string, ChangeResult>()
  const next = new Map<string, NextObject>()
  for (const [key, { file, secret }] of seen) {
    // Without its secret it would be called without any credentials.
    const lost = file.document.auth?.secretStore === store && secret === undefined
    if (!lost) next.set(key, { file, secret })
  }
  const hold = (key: string, result: Omit<ChangeResult, 'key'>): void =>
    void held.set(key, { key, ...result })
  for (const change of plan.changes) {
    if (change.kind !== 'delete') continue
    const why = namedBy(change, next, pipeline)
    if (why === undefined) next.delete(change.key)
    else hold(change.key, { outcome: 'held', problem: why })
  }
  const titles = new Map([...next].map(([key, { file }]) => [titleOf(file.document), key]))
  for (const change of plan.changes) {
    if (change.kind === 'delete') continue
    const { content, digest } = change.object
    if (!(content instanceof DaprContent)) {
      throw new AgentError('internal', `Cannot write ${change.key}: the plan is of another target`)
    }
    const title = titleOf(content.document)
    const holder = titles.get(title)
    const pin = pins[change.key]
    const where = taken.get(title)
    if (where !== undefined) hold(change.key, heldName(title, where))
    else if (holder !== undefined && holder !== change.key)
      hold(change.key, heldName(title, 'another object'))
    else if (pin?.digest === digest && pin.tries >= TRIES) hold(change.key, pinned(title, pin))
    else {
      const { key, owner } = change
      next.set(key, { file: { key, owner, document: content.document }, secret: content.secret })
      titles.set(title, key)
    }
  }
  return { next, held }
}

/** A middleware that a pipeline names and that is not there lets calls through without a token. */
function namedBy(
  { key, name }: Change,
  next: ReadonlyMap<string, NextObject>,
  pipeline: ReadonlySet<string>,
) {
  const kind = next.get(key)?.file.document.kind
  if (kind !== 'Component' || !pipeline.has(name)) return undefined
  const message = `Cannot remove the middleware ${name}: a pipeline of daprd names it, and would let calls through without it`
  return problem('dapr_middleware_named', message, { subject: name })
}

function heldName(title: string, who: string): Omit<ChangeResult, 'key'> {
  const message = `Cannot write ${title}: ${who} has the name`
  return { outcome: 'held', problem: problem('name_taken', message, { subject: title }) }
}

function pinned(title: string, { why }: Pin): Omit<ChangeResult, 'key'> {
  return { outcome: 'held', problem: rejected(title, why) }
}

/** What is said of an object whose version was taken back. */
export function rejected(title: string, why: string) {
  return problem('dapr_rejected', `Cannot give ${title} to daprd: ${why}`, { subject: title })
}
