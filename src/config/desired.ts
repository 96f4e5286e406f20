import * as v from 'valibot'
import { checkText } from './check.ts'
import type { Checked } from './check.ts'
import { matching, number } from './fields.ts'
import type { NodePath } from './problem.ts'
import { isMapping, section } from './section.ts'

/**
 * The three kinds of files that the desired state of runtimes is made of. docs/reference/director-yaml.md explains them.
 *
 * Documents within them are arbitrary JSON, of which only what identifies them is judged here.
 */

/** Any JSON value; YAML holds some that are none. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A document, or a part of one: whatever else it holds, it says what it is. */
export type Document = { [key: string]: Json } & {
  apiVersion: string
  kind: string
  metadata: { [key: string]: Json } & { name: string; namespace?: string }
}

/** Of what runtimes and files are called: a name of a file, of a path of a URL, and of an object. */
export const RUNTIME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const FILE_NAME = /^[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?$/
const WORD = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/
const WANT_WORD = 'a word of letters, digits and . _ / -, at most 128'
/** What common names of certificates hold: anything that can be seen; Compass gives UUIDs. */
export const COMMON_NAME = /^[^\p{Cc}\p{Cf}]{1,256}$/u
const LABEL_VALUE = /^[^\p{Cc}]{0,256}$/u

const word = (about: string) => matching(about, WORD, WANT_WORD)
const words = (about: string) =>
  v.pipe(v.array(word('A group.'), 'a list of groups'), v.description(about))
/** As `matching`, for what JSON Schema has no pattern for. */
function fitting(pattern: RegExp, want: string) {
  return v.pipe(
    v.string(want),
    v.check((value) => pattern.test(value), want),
  )
}

const labelValue = fitting(LABEL_VALUE, 'text of one line (in quotes if it looks like a number)')

function named(about: string) {
  return matching(about, FILE_NAME, 'the name of the file, without .yaml')
}

/** `runtimes/<id>.yaml`. */
export const runtimeFile = section({
  id: matching(
    'Id of the runtime in Compass, and the name of the file.',
    RUNTIME_ID,
    'the id of the runtime, which is the name of the file without .yaml',
  ),
  labels: v.optional(
    v.pipe(
      v.record(
        v.pipe(v.string(WANT_WORD), v.regex(WORD, WANT_WORD)),
        labelValue,
        'a section of labels such as {region: eu}',
      ),
      v.description('What match.labels looks at.'),
    ),
    {},
  ),
  groups: v.optional(words('What match.groups looks at.'), []),
  identities: v.optional(
    v.pipe(
      v.array(
        fitting(COMMON_NAME, 'the common name of a client certificate'),
        'a list of common names',
      ),
      v.description('Common names of the client certificates that may ask for it.'),
    ),
    [],
  ),
})

const match = v.pipe(
  section({
    all: v.exactOptional(
      v.pipe(v.literal(true, 'true'), v.description('Every runtime; without the other keys.')),
    ),
    runtimes: v.exactOptional(
      v.pipe(
        v.array(matching('', RUNTIME_ID, 'the id of a runtime'), 'a list of ids of runtimes'),
        v.description('Runtimes by id.'),
        v.nonEmpty('at least one id'),
      ),
    ),
    groups: v.exactOptional(
      v.pipe(
        v.array(word('A group.'), 'a list of groups'),
        v.description('Runtimes of any of these groups.'),
        v.nonEmpty('at least one group'),
      ),
    ),
    labels: v.exactOptional(
      v.pipe(
        v.record(
          v.pipe(v.string(WANT_WORD), v.regex(WORD, WANT_WORD)),
          v.union(
            [labelValue, v.pipe(v.array(labelValue), v.nonEmpty('at least one value'))],
            'a value or a list of values',
          ),
          'a section of labels such as {region: eu}',
        ),
        v.description(
          'Labels that the runtime must have all of, each with a value or one of a list.',
        ),
      ),
    ),
  }),
  v.description('For which runtimes it is.'),
  v.minEntries(1, 'at least one of runtimes, groups, labels, or all: true'),
  v.check(
    (given) => given.all === undefined || Object.keys(given).length === 1,
    'all: true alone, or the other keys',
  ),
)

/** Which runtimes: of those in a list any fits, and all of the keys must. */
export type Match = v.InferOutput<typeof match>

/** A list of documents; each problem of one has its place. */
function documents(about: string) {
  return v.pipe(
    v.array(v.pipe(v.unknown(), v.title('document')), 'a list of documents'),
    v.description(about),
    v.nonEmpty('at least one document'),
    v.rawTransform<unknown[], Document[]>(({ dataset, addIssue, NEVER }) => {
      const wrong = dataset.value.flatMap((value, index) =>
        documentProblems(value).map(({ path, want }) => ({ path: [index, ...path], want })),
      )
      for (const { path, want } of wrong) {
        addIssue({ message: want, path: issuePath(dataset.value, path) })
      }
      return wrong.length === 0 ? (dataset.value as Document[]) : NEVER
    }),
  )
}

/** `configurations/<name>.yaml`. */
export const configurationFile = section({
  name: v.exactOptional(named('Its name; that of the file when missing.')),
  match,
  resources: documents(
    'Documents with apiVersion, kind, metadata.name and whatever belongs to their kind.',
  ),
})

/** `overlays/<name>.yaml`. */
export const overlayFile = section({
  name: v.exactOptional(named('Its name; that of the file when missing.')),
  match,
  order: v.optional(
    number('Overlays with a smaller number come first.', [-1_000_000, 1_000_000]),
    0,
  ),
  patch: documents(
    'Parts of documents, each with apiVersion, kind and metadata.name of what it changes.',
  ),
})

export type RuntimeFile = v.InferOutput<typeof runtimeFile>
export type ConfigurationFile = v.InferOutput<typeof configurationFile>
export type OverlayFile = v.InferOutput<typeof overlayFile>

const KINDS = { runtimes: runtimeFile, configurations: configurationFile, overlays: overlayFile }

export type DesiredKind = keyof typeof KINDS

/** Whether this may be the name of a file of the desired state, without .yaml. */
export function isFileName(kind: DesiredKind, name: string): boolean {
  return (kind === 'runtimes' ? RUNTIME_ID : FILE_NAME).test(name)
}

/** What a file of a kind becomes. */
export type Desired<Kind extends DesiredKind> = v.InferOutput<(typeof KINDS)[Kind]>

/** Checks one file of the desired state. `${…}` in it is text like any other. */
export function checkDesired<Kind extends DesiredKind>(
  kind: Kind,
  text: string,
  file: string,
): Checked<Desired<Kind>> {
  const want = kind === 'runtimes' ? 'an id' : 'a match'
  return checkText<(typeof KINDS)[Kind]>(text, { schema: KINDS[kind], file, want })
}

type Wrong = { path: NodePath; want: string }

function documentProblems(value: unknown): Wrong[] {
  if (!isMapping(value))
    return [{ path: [], want: 'a document with apiVersion, kind and metadata.name' }]
  const metadata = isMapping(value['metadata']) ? value['metadata'] : {}
  const text = (path: string[], found: unknown, pattern: RegExp, want: string): Wrong[] =>
    typeof found === 'string' && pattern.test(found) ? [] : [{ path, want }]
  const { namespace } = metadata
  return [
    ...text(['apiVersion'], value['apiVersion'], API_VERSION, 'a version such as dapr.io/v1alpha1'),
    ...text(['kind'], value['kind'], KIND, 'a kind such as Component'),
    ...text(['metadata', 'name'], metadata['name'], OBJECT, WANT_OBJECT),
    ...(namespace === undefined
      ? []
      : text(['metadata', 'namespace'], namespace, OBJECT, WANT_OBJECT)),
    ...notJson(value, []),
  ]
}

const API_VERSION = /^([a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?\/)?v[a-z0-9]{1,30}$/
const KIND = /^[A-Z][A-Za-z0-9]{0,62}$/
const OBJECT = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/
const WANT_OBJECT = 'a name of lower-case letters, digits, . and -'

/** Numbers that JSON cannot hold. */
function notJson(value: unknown, path: NodePath): Wrong[] {
  if (typeof value === 'number' && !Number.isFinite(value))
    return [{ path, want: 'a finite number' }]
  if (Array.isArray(value)) return value.flatMap((one, index) => notJson(one, [...path, index]))
  if (!isMapping(value)) return []
  return Object.entries(value).flatMap(([key, one]) => notJson(one, [...path, key]))
}

/** The path of an issue as valibot wants it. */
function issuePath(root: unknown, path: NodePath): [v.IssuePathItem, ...v.IssuePathItem[]] {
  let at: unknown = root
  const items = path.map((key): v.IssuePathItem => {
    const input = at
    at =
      isMapping(input) || Array.isArray(input) ? (input as Record<string, unknown>)[key] : undefined
    return { type: 'unknown', origin: 'value', input, key, value: at }
  })
  const [first = { type: 'unknown', origin: 'value', input: root, key: 0, value: root }, ...rest] =
    items
  return [first, ...rest]
}
