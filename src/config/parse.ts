import * as v from 'valibot'
import type { Config } from './config.ts'
import { contradictions } from './contradictions.ts'
import type { Located } from './locate.ts'
import { locate } from './locate.ts'
import { absolute, directoryOf } from './path.ts'
import { placesOf } from './place.ts'
import { pathKey, toPlain } from './plain.ts'
import type { ConfigProblem, NodePath } from './problem.ts'
import { formatPath, foundAt, quoted } from './problem.ts'
import { agentSchema } from './schema.ts'
import { HIDDEN, WHOLE } from './section.ts'
import { warningsOf } from './warnings.ts'
import type { YamlNode } from './yaml.ts'
import { readYaml } from './yaml.ts'

/** Larger files are refused unread. */
export const MAX_CONFIG_BYTES = 1024 * 1024

export type ParseOptions = {
  /** As the operator named it; problems begin with it. */
  file: string
  /** Absolute working directory, for a relative `file`. */
  cwd: string
  /** The environment, for `${VAR}`; undefined when not set. */
  env: (name: string) => string | undefined
}

/** Either a whole configuration, or everything that is wrong with it, in the order of the file. */
export type Parsed =
  | { config: Config; warnings: ConfigProblem[]; problems?: never }
  | { config?: never; warnings?: never; problems: ConfigProblem[] }

/** What is wrong, with its offset instead of a place for people. */
type Finding = { offset: number; path: NodePath; message: string }

/** Checks the text of agent.yaml as a whole. Pure, and never throws. */
export function parseConfig(text: string, options: ParseOptions): Parsed {
  const present = presenter(text, options.file)
  if (new TextEncoder().encode(text).length > MAX_CONFIG_BYTES) {
    return { problems: present([wholeFile('is larger than 1 MiB')]) }
  }
  const { root, problems } = readYaml(text)
  const syntax = problems.map((problem) => ({ ...problem, path: [] }))
  if (root === undefined) {
    const nothing = wholeFile('holds nothing, want at least version: 1')
    return { problems: present(syntax.length > 0 ? syntax : [nothing]) }
  }
  const { config, findings } = check(root, options)
  if (config === undefined || syntax.length > 0)
    return { problems: present([...syntax, ...findings]) }
  const warnings = warningsOf(config, options.env).map(({ path, message }) => ({
    offset: locate(root, path).offset,
    path,
    message,
  }))
  return { config, warnings: present(warnings) }
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

function check(
  root: YamlNode,
  { file, cwd, env }: ParseOptions,
): { config?: Config; findings: Finding[] } {
  const base = directoryOf(absolute(file, cwd))
  const schema = agentSchema(base)
  const judge = (typed: ReadonlySet<string>) => {
    const plain = toPlain(root, { env, typed })
    return { plain, result: v.safeParse(schema, plain.value, { abortPipeEarly: true }) }
  }
  let { plain, result } = judge(new Set())
  const typed = wantedTyped(result.issues ?? [])
  if (typed.size > 0) ({ plain, result } = judge(typed))
  const broken = new Set(plain.problems.map(({ path }) => pathKey(path)))
  const findings = [
    ...plain.problems,
    ...(result.issues ?? []).flatMap((issue) => findingOf(issue, root, broken)),
    ...contradictions(plain.value, base).map(({ path, message }) => ({
      offset: locate(root, path).offset,
      path,
      message,
    })),
  ]
  return result.success && findings.length === 0
    ? { config: result.output, findings }
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
