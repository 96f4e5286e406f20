import type { Code, Problem } from '../model/problem.ts'
import type { ApplicationStatus, Status } from '../model/status.ts'

/**
 * What the old fields cannot say, for the annotation `conditions`: short, without times and secrets, so that it changes
 * only when something did.
 */
export type Conditions = {
  /** Of the agent. */
  version: string
  paused?: true
  /** What is wrong now, worst first. */
  problems: { code: string; message: string; turn: string; hint?: string }[]
  /** How many applications are in which condition. */
  applications: Record<string, number>
  /** Those that are not in step, by name. */
  notInStep?: Record<string, string>
  /** Deletions that wait for approval under a hash. */
  held?: { hash: string; target: string; reason: string }[]
  /** What became of what was asked for in this CR. */
  remarks?: Record<string, string>
}

/** An annotation has 256 KiB for all; this much is what a person reads. */
const MOST_PROBLEMS = 10
const MOST_APPLICATIONS = 50
const LONGEST = 200

export function conditionsOf(
  status: Status,
  remarks: Readonly<Record<string, string>>,
): Conditions {
  const { version, paused, problems, applications, targets } = status
  const counts: Record<string, number> = {}
  for (const { condition } of applications) counts[condition] = (counts[condition] ?? 0) + 1
  const notInStep = applications.filter(isNotInStep).slice(0, MOST_APPLICATIONS)
  const held = targets.flatMap((target) => target.held ?? [])
  return {
    version,
    ...(paused ? { paused } : {}),
    problems: problems.slice(0, MOST_PROBLEMS).map(shortened),
    applications: Object.fromEntries(Object.entries(counts).sort()),
    ...(notInStep.length === 0
      ? {}
      : { notInStep: Object.fromEntries(notInStep.map((one) => [cut(one.name), resultOf(one)])) }),
    ...(held.length === 0
      ? {}
      : { held: held.map(({ hash, target, reason }) => ({ hash, target, reason: cut(reason) })) }),
    ...(Object.keys(remarks).length === 0 ? {} : { remarks }),
  }
}

function isNotInStep({ condition }: ApplicationStatus): boolean {
  return condition !== 'synced' && condition !== 'pending'
}

function resultOf({ condition, problems: [first] }: ApplicationStatus): string {
  return first === undefined ? condition : cut(`${first.code}: ${first.message}`)
}

/** Their hint names the hash to approve. */
const HELD: ReadonlySet<Code> = new Set<Code>([
  'credentials_held',
  'deletions_held',
  'deletions_waiting',
])

function shortened({ code, message, turn, hint }: Problem): Conditions['problems'][number] {
  return { code, message: cut(message), turn, ...(HELD.has(code) ? { hint: cut(hint) } : {}) }
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
}
