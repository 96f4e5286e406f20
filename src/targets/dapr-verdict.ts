import { problem } from '../model/problem.ts'
import type { Problem } from '../model/problem.ts'
import { titleOf } from './dapr-document.ts'
import type { FileObject } from './dapr-file.ts'
import type { Looks } from './dapr-sidecars.ts'

/** What became of a change. */
export type Verdict =
  | { kind: 'taken' }
  /** Nothing is known: a sidecar was away before, and is. */
  | { kind: 'open' }
  /** A sidecar is gone, or has lost all of its secrets: everything back. */
  | { kind: 'fatal'; why: string }
  /** These were not taken, and why; the others were. */
  | { kind: 'partly'; bad: Map<string, string> }

/** Judges what sidecars have of the objects that were changed. */
export function judge(
  looks: Looks,
  changed: ReadonlySet<string>,
  before: ReadonlySet<string>,
): Verdict {
  const bad = new Map<string, string>()
  let open = false
  for (const { name, look } of looks) {
    if (look.state === 'deaf') continue
    if (look.state === 'away') {
      if (before.has(name) && changed.size > 0)
        return { kind: 'fatal', why: `${name} was there before it and is gone since` }
      open = true
      continue
    }
    if (look.storeMissing && changed.size > 0)
      return { kind: 'fatal', why: `${name} cannot read its secrets` }
    for (const { key } of look.missing)
      if (changed.has(key)) bad.set(key, `${name} did not start it`)
    open ||= look.stale
  }
  if (bad.size > 0) return { kind: 'partly', bad }
  return { kind: open ? 'open' : 'taken' }
}

/** What is wrong with sidecars whatever was changed. */
export function problemsOf(looks: Looks): Problem[] {
  return looks.flatMap(({ name, look }) => {
    if (look.state !== 'there') return [look.problem]
    const { missing, storeMissing, stale } = look
    if (storeMissing) return [unreadable(name)]
    if (stale) {
      const message = `Cannot see that daprd at ${name} has the present secrets: its store shows others`
      return [problem('dapr_rejected', message, { subject: name })]
    }
    return missing.map((object) => absent(name, object))
  })
}

export function unreadable(name: string): Problem {
  return problem(
    'dapr_rejected',
    `Cannot let daprd at ${name} read its secrets: its store is not there`,
    {
      subject: name,
      hint: 'give the user of daprd the group named in group of the target, and restart daprd: its log says what it cannot open',
    },
  )
}

function absent(name: string, { document }: FileObject): Problem {
  const title = titleOf(document)
  const message = `Cannot see ${title} in daprd at ${name}: it did not start`
  return problem('dapr_rejected', message, { subject: title })
}
