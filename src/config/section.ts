import * as v from 'valibot'
import { nearest } from './nearest.ts'

/**
 * Shapes of agent.yaml that valibot's own schemas do not judge as an operator needs it.
 *
 * valibot's objects accept lists, name one unknown key only (or skip `constructor`), and its unions do not say what is
 * wrong inside. So these run the plain schema and judge around it, by the interface that valibot gives to its own
 * schemas (`~run`, `_addIssue`); type, entries and metadata stay those of the plain schema, which is what types and
 * JSON Schema are made from.
 *
 * In all of the configuration schema a message is what is *wanted*; what was found is added by whoever knows the
 * source (problem.ts). `received` marks the two cases that differ.
 */

/** `received` of an issue whose message is the whole story, without "found". */
export const WHOLE = 'whole'

/** `received` of an issue whose value must not be shown. */
export const HIDDEN = 'hidden'

type RunConfig = v.Config<v.BaseIssue<unknown>>
type Dataset<Output> = v.OutputDataset<Output, v.BaseIssue<unknown>>

/** What to call something that is not built yet. */
const NOT_YET = 'not in this version yet'

/** A mapping with known keys. `later`: keys that a coming version will know. */
export function section<const Entries extends v.ObjectEntries>(
  entries: Entries,
  later: readonly string[] = [],
) {
  const known = Object.keys(entries)
  const plain = v.object(entries, (issue) => wantOf(entries, issue))
  const schema = v.strictObject(entries, `a section with ${listed(known)}`)
  return {
    ...schema,
    '~run'(dataset: v.UnknownDataset, config: RunConfig) {
      const input = dataset.value
      if (!isMapping(input)) return rejected(schema, input)
      const output = plain['~run'](dataset, config)
      for (const key of Object.keys(input).filter((name) => !Object.hasOwn(entries, name))) {
        v._addIssue(schema, 'key', output, config, {
          input: key,
          received: WHOLE,
          message: later.includes(key) ? NOT_YET : unknownKey(key, known),
          path: [{ type: 'object', origin: 'key', input, key, value: input[key] }],
        })
      }
      return output
    },
  }
}

/** A word, or a section with more: which of the two is meant shows the input itself, so the problem can be exact. */
export function wordOr<
  const Word extends v.GenericSchema,
  const Section extends v.GenericSchema & { message: string },
>(word: Word, more: Section, want: string) {
  const schema = v.union([word, more], want)
  return {
    ...schema,
    '~run'(
      dataset: v.UnknownDataset,
      config: RunConfig,
    ): Dataset<v.InferOutput<Word> | v.InferOutput<Section>> {
      return (isMapping(dataset.value) ? more : word)['~run'](dataset, config)
    },
  }
}

/** The same schema, but what was found in its own place is not shown: it may be a secret in the wrong form. */
export function hidden<const Schema extends v.GenericSchema>(schema: Schema): Schema {
  return {
    ...schema,
    '~run'(dataset: v.UnknownDataset, config: RunConfig) {
      const output = schema['~run'](dataset, config)
      const issues = output.issues?.map((i) => (i.path ? i : { ...i, received: HIDDEN }))
      return issues === undefined ? output : { ...output, issues }
    },
  }
}

/** A plain object, as YAML mappings arrive. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function rejected(
  { type, expects, message }: { type: string; expects: string; message: string },
  input: unknown,
): v.FailureDataset<v.BaseIssue<unknown>> {
  const issue = { kind: 'schema', type, input, expected: expects, received: '', message } as const
  return { typed: false, value: input, issues: [issue] }
}

/** What a missing key should have held: the message of its schema. */
function wantOf(entries: v.ObjectEntries, issue: v.ObjectIssue): string {
  const key = issue.path?.[0]?.key
  const entry: unknown = typeof key === 'string' ? entries[key] : undefined
  const message = isMapping(entry) ? entry['message'] : undefined
  return typeof message === 'string' ? message : 'a value'
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = nearest(key, known)
  if (meant !== undefined) return `unknown key, did you mean ${meant}?`
  return `unknown key, want one of ${known.join(', ')}`
}

function listed(words: readonly string[]): string {
  return words.length > 6 ? 'keys' : words.join(', ')
}
