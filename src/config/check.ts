import * as v from 'valibot'
import type { Contradiction } from './contradictions.ts'
import type { Located } from './locate.ts'
import { locate } from './locate.ts'
import { placesOf } from './place.ts'
import { pathKey, toPlain } from './plain.ts'
import type { ConfigProblem, NodePath } from './problem.ts'
import { formatPath, foundAt, quoted } from './problem.ts'
import { HIDDEN, WHOLE } from './section.ts'
import type { YamlNode } from './yaml.ts'
import { readYaml } from './yaml.ts'

/** Larger files are refused unread. */
export const MAX_CONFIG_BYTES = 1024 * 1024

export type Rules<Schema> = {
  schema: Schema
  /** As the operator named it; problems begin with it. */
  file: string
  /** The environment, for `${VAR}`; undefined when not set. Missing: text stays as it is written. */
  env?: (name: string) => string | undefined
  /** What single fields cannot show. */
  contradictions?: (value: unknown) => Contradiction[]
  /** What the file must hold at least, for one that is empty. */
  want: string
}

/** Either a whole value, or everything that is wrong with the text, in the order of the file. */
export type Checked<Output> =
  | {
      output: Output
      /** Problems that are found later, in the same form. */
      problemsAt: (found: readonly Contradiction[]) => ConfigProblem[]
      problems?: never
    }
  | { output?: never; problemsAt?: never; problems: ConfigProblem[] }

/** What is wrong, with its offset instead of a place for people. */
type Finding = { offset: number; path: NodePath; message: string }

/** Checks a YAML text as a whole. Pure, and never throws. */
export function checkText<const Schema extends v.GenericSchema>(
  text: string,
  rules: Rules<Schema>,
): Checked<v.InferOutput<Schema>> {
  const present = presenter(text, rules.file)
  if (new TextEncoder().encode(text).length > MAX_CONFIG_BYTES) {
    return { problems: present([wholeFile('is larger than 1 MiB')]) }
  }
  const { root, problems } = readYaml(text)
  const syntax = problems.map((problem) => ({ ...problem, path: [] }))
  if (root === undefined) {
    const nothing = wholeFile(`holds nothing, want at least ${rules.want}`)
    return { problems: present(syntax.length > 0 ? syntax : [nothing]) }
  }
  const { checked, findings } = check(root, rules)
  if (checked === undefined || syntax.length > 0)
    return { problems: present([...syntax, ...findings]) }
  const problemsAt = (found: readonly Contradiction[]): ConfigProblem[] =>
    present(found.map((one) => placed(root, one)))
  return { output: checked.output, problemsAt }
}

function wholeFile(message: string): Finding {
  return { offset: 0, path: [], message }
}

/** Findings in the order of the file; the same one said once. */
function presenter(text: string, file: string): (findings: Finding[]) => ConfigProblem[] {
  const placeOf = placesOf(text)
  return (findings) => {
    const sorted = findings.toSorted((a, b) => a.offset - b.offset)
    const all = sorted.map(({ offset, path, message }) => ({
      file,
      ...placeOf(Math.min(offset, text.length)),
      path: formatPath(path),
      message,
    }))
    return [...new Map(all.map((problem) => [JSON.stringify(problem), problem])).values()]
  }
}

function placed(root: YamlNode, { path, message }: Contradiction): Finding {
  return { offset: locate(root, path).offset, path, message }
}

function check<Schema extends v.GenericSchema>(
  root: YamlNode,
  { schema, env, contradictions = () => [] }: Rules<Schema>,
): { checked?: { output: v.InferOutput<Schema> }; findings: Finding[] } {
  const judge = (typed: ReadonlySet<string>) => {
    const plain = toPlain(root, { env, typed })
    return { plain, result: v.safeParse(schema, plain.value, { abortPipeEarly: true }) }
  }
  let { plain, result } = judge(new Set())
  const typed = env === undefined ? new Set<string>() : wantedTyped(result.issues ?? [])
  if (typed.size > 0) ({ plain, result } = judge(typed))
  const broken = new Set(plain.problems.map(({ path }) => pathKey(path)))
  const findings = [
    ...plain.problems,
    ...(result.issues ?? []).flatMap((issue) => findingOf(issue, root, broken)),
    ...contradictions(plain.value).map((one) => placed(root, one)),
  ]
  return result.success && findings.length === 0
    ? { checked: { output: result.output }, findings }
    : { findings }
}

type Issue = v.BaseIssue<unknown>

/** Where text stands and a number or truth value is wanted: fine if it came from a variable. */
function wantedTyped(issues: readonly Issue[]): ReadonlySet<string> {
  const wanted = issues.filter(
    ({ kind, expected, input }) =>
      kind === 'schema' &&
      (expected === 'number' || expected === 'boolean') &&
      typeof input === 'string',
  )
  return new Set(wanted.map((issue) => pathKey(pathOf(issue))))
}

function pathOf(issue: Issue): NodePath {
  return (issue.path ?? []).flatMap(({ key }) =>
    typeof key === 'string' || typeof key === 'number' ? [key] : [],
  )
}

/** None when the place is broken already, by syntax or by a variable: what the schema says of it is a consequence. */
function findingOf(issue: Issue, root: YamlNode, broken: ReadonlySet<string>): Finding[] {
  const path = pathOf(issue)
  const at = locate(root, path)
  if (at.broken || broken.has(pathKey(path))) return []
  if (issue.received === WHOLE) return [{ path, offset: at.keyOffset, message: issue.message }]
  if (issue.path?.at(-1)?.origin === 'key' && at.node !== undefined) {
    return [
      {
        path,
        offset: at.keyOffset,
        message: `found ${quoted(String(path.at(-1)))}, want ${issue.message}`,
      },
    ]
  }
  return [{ path, offset: at.offset, message: describe(issue, at) }]
}

function describe(issue: Issue, { node }: Located): string {
  const found = foundAt(node, issue.received !== HIDDEN)
  return `${found}, want ${issue.message}`
}
