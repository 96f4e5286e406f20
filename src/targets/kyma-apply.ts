import { APPLICATIONS, SECRETS } from '../clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../clients/kubernetes/api.ts'
import { AgentError } from '../model/problem.ts'
import type { Change, ChangeResult } from '../model/target.ts'
import { carryOut } from './cluster-apply.ts'
import type { Job, Step } from './cluster-apply.ts'
import { preconditions } from './cluster-objects.ts'
import { ApplicationWish, newApplication } from './kyma-application.ts'
import type { ObservedKyma } from './kyma-observe.ts'
import { nameWaits } from './kyma-problems.ts'
import { changeOfSecret, newSecret, readBereft, SecretWish } from './kyma-secret.ts'

/*
 * One pass in the cluster. What must stay true: a CR names no Secret that is not there yet, except for the moment after
 * its creation, as its Secrets carry its uid; no Secret goes while a CR names it; nothing that changed since it was
 * observed is written or removed.
 */

export type KymaApply = {
  kubernetes: Kubernetes
  /** Of the Secrets. */
  namespace: string
  skipVerify: boolean
  observed: ObservedKyma
  /** What the API answered to a write. */
  noteApplication: (object: KubeObject) => void
  noteSecret: (object: KubeObject) => void
}

/** A plan that `observed` led to; one result a change. */
export function applyKyma(
  changes: readonly Change[],
  input: KymaApply,
  signal: AbortSignal,
): Promise<ChangeResult[]> {
  const made: Made = { uids: new Map(), removed: new Set() }
  const groups = new Map<string, Group>()
  for (const change of changes) {
    const name = applicationOf(change, input.observed)
    const group = groups.get(name) ?? emptyGroup()
    groups.set(name, group)
    sort(change, group, { input, made, name })
  }
  const jobs = [...groups.values()].map(jobOf)
  return carryOut(jobs, signal)
}

/** All changes of one CR and of what it names. */
type Group = {
  removal: Step[]
  creation: Step[]
  secrets: Step[]
  update: Step[]
  secretRemovals: Step[]
}

type Made = {
  /** Of CRs that this pass created, by name. */
  uids: Map<string, string>
  /** Keys of CRs that this pass removed. */
  removed: Set<string>
}

type Context = { input: KymaApply; made: Made; name: string }

function emptyGroup(): Group {
  return { removal: [], creation: [], secrets: [], update: [], secretRemovals: [] }
}

function jobOf({ removal, creation, secrets, update, secretRemovals }: Group): Job {
  return [removal, creation, secrets, update, secretRemovals].filter((steps) => steps.length > 0)
}

/** Name of the CR that a change is of or for. */
function applicationOf(change: Change, observed: ObservedKyma): string {
  if (change.kind === 'delete') return observed.secrets.get(change.key)?.application ?? change.name
  const { content } = change.object
  return content instanceof SecretWish ? content.ids.application : change.name
}

function sort(change: Change, group: Group, context: Context): void {
  if (change.kind === 'delete') {
    const isSecret = context.input.observed.secrets.has(change.key)
    const step = isSecret ? secretRemoval(change, context) : removal(change, context)
    group[isSecret ? 'secretRemovals' : 'removal'].push(step)
    return
  }
  const { content } = change.object
  if (content instanceof SecretWish) group.secrets.push(secretStep(change, content, context))
  else if (!(content instanceof ApplicationWish)) throw new TypeError('Rendered by another target')
  else if (change.kind === 'create') group.creation.push(creation(change, content, context))
  else group.update.push(update(change, content, context))
}

function creation(change: Change, wish: ApplicationWish, { input, made, name }: Context): Step {
  return {
    change,
    subject: wish.title,
    run: async (signal) => {
      const { after, title } = wish
      if (after !== undefined && !made.removed.has(after)) return nameWaits(title, name)
      const object = newApplication(wish.owned(), input.skipVerify)
      const answer = await input.kubernetes
        .create(APPLICATIONS, object, signal)
        .catch((thrown: unknown) => {
          // Finalizers may keep what was removed a moment ago.
          if (after === undefined || !isThere(thrown)) throw thrown
          return undefined
        })
      if (answer === undefined) return nameWaits(title, name)
      made.uids.set(name, answer.metadata.uid ?? '')
      input.noteApplication(answer)
      return undefined
    },
  }
}

/**
 * What the Go agent wrote or a person edited is taken over, on objects that are ours; what somebody else keeps by
 * server-side apply is a conflict that has a name.
 */
function update(change: Change, wish: ApplicationWish, { input, name }: Context): Step {
  return {
    change,
    subject: wish.title,
    run: async (signal) => {
      const seen = input.observed.byName.get(name)
      const owned = wish.owned()
      const metadata = { ...owned.metadata, ...(seen && preconditions(seen)) }
      const force = seen?.ours === true && seen.appliers.length === 0
      const { kubernetes } = input
      const answer = await kubernetes.apply(APPLICATIONS, { ...owned, metadata }, signal, { force })
      input.noteApplication(answer)
      return undefined
    },
  }
}

function removal(change: Change, { input, made, name }: Context): Step {
  return {
    change,
    subject: name,
    run: async (signal) => {
      const seen = input.observed.byName.get(name)
      await input.kubernetes.remove(APPLICATIONS, { name }, seen ? preconditions(seen) : {}, signal)
      made.removed.add(change.key)
      return undefined
    },
  }
}

function secretRemoval(change: Change, { input, name: subject }: Context): Step {
  const { kubernetes, namespace, observed } = input
  return {
    change,
    subject,
    run: async (signal) => {
      const { name } = change
      const seen = observed.secrets.get(change.key)
      const conditions = seen ? preconditions(seen) : {}
      await kubernetes.remove(SECRETS, { name, namespace }, conditions, signal)
      return undefined
    },
  }
}

function secretStep(change: Change, wish: SecretWish, { input, made, name }: Context): Step {
  const { kubernetes, namespace, observed } = input
  return {
    change,
    subject: wish.title,
    run: async (signal) => {
      const uid = made.uids.get(name) ?? observed.byName.get(name)?.uid ?? ''
      const seen = observed.secrets.get(change.key)
      const answer =
        seen === undefined
          ? await createSecret(input, wish, uid, signal)
          : await kubernetes.merge(
              SECRETS,
              { name: seen.name, namespace },
              changeOfSecret(seen, wish, uid),
              signal,
            )
      input.noteSecret(answer)
      return undefined
    },
  }
}

/** One that is there although it was not seen has lost the label by which ours are found, or is foreign. */
async function createSecret(
  { kubernetes, namespace }: KymaApply,
  wish: SecretWish,
  uid: string,
  signal: AbortSignal,
): Promise<KubeObject> {
  try {
    return await kubernetes.create(SECRETS, newSecret(wish, namespace, uid), signal)
  } catch (thrown) {
    if (!isThere(thrown)) throw thrown
    const ref = { name: wish.name, namespace }
    const object = await kubernetes.get(SECRETS, ref, signal)
    const bereft = object === undefined ? undefined : readBereft(object, wish.ids)
    if (bereft === undefined) throw thrown
    return kubernetes.merge(SECRETS, ref, changeOfSecret(bereft, wish, uid), signal)
  }
}

function isThere(thrown: unknown): boolean {
  return thrown instanceof AgentError && thrown.detail['reason'] === 'AlreadyExists'
}
