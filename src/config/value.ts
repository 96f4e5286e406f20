import * as v from 'valibot'
import { Secret } from '../model/secret.ts'
import { secretKeyName } from './cluster-names.ts'
import type { SecretKeyName } from './cluster-names.ts'
import { matching, path } from './fields.ts'
import { hidden, section } from './section.ts'

/** Where a value comes from. Resolved at each use, so that a changed file or variable is seen without restart. */
export type ValueSource =
  | { from: 'value'; value: Secret }
  /** Absolute path. */
  | { from: 'file'; file: string }
  | { from: 'env'; env: string }
  /** Name of a file below `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential=). */
  | { from: 'credential'; credential: string }
  /** One key of a Secret of the cluster. */
  | { from: 'secret'; secret: SecretKeyName }

/** Title of value sources in the JSON Schema, so that the reference explains them once. */
export const VALUE_TITLE = 'value'

const WANT = 'exactly one of file, env, credential, secret, value'

const WANT_VALUE = 'the value as text'

/** The schema of a {@link ValueSource}. `base`: absolute directory that relative paths are taken from. */
export function valueSource(about: string, base: string) {
  const entries = {
    file: v.exactOptional(
      path('A file that holds it; read again when it changes.', base, 'a file path', [
        '/etc/runtime-agent/token',
      ]),
    ),
    env: v.exactOptional(
      matching(
        'An environment variable that holds it.',
        /^[A-Za-z_][A-Za-z0-9_]*$/,
        'the name of an environment variable',
        ['RUNTIME_AGENT_TOKEN'],
      ),
    ),
    credential: v.exactOptional(
      matching(
        'A file below $CREDENTIALS_DIRECTORY, as LoadCredential= of systemd makes it.',
        /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,255}$/,
        'the name of a credential of systemd',
        ['token'],
      ),
    ),
    secret: v.exactOptional(
      // Who takes the word for "the secret itself" must not find it in a message.
      hidden(
        secretKeyName('One key of a Secret of the cluster; seen when it changes.', [
          'kyma-system/compass-agent-configuration/TOKEN',
        ]),
      ),
    ),
    value: v.exactOptional(
      hidden(
        v.pipe(
          v.string(WANT_VALUE),
          v.description('The value itself, of any number of lines; better kept out of this file.'),
          v.nonEmpty(WANT_VALUE),
        ),
      ),
    ),
  }
  return v.pipe(
    hidden(section(entries)),
    v.title(VALUE_TITLE),
    v.description(about),
    v.minEntries(1, WANT),
    v.maxEntries(1, WANT),
    v.transform(tagged),
  )
}

function tagged(given: {
  file?: string
  env?: string
  credential?: string
  secret?: SecretKeyName
  value?: string
}): ValueSource {
  if (given.file !== undefined) return { from: 'file', file: given.file }
  if (given.env !== undefined) return { from: 'env', env: given.env }
  if (given.credential !== undefined) return { from: 'credential', credential: given.credential }
  if (given.secret !== undefined) return { from: 'secret', secret: given.secret }
  return { from: 'value', value: new Secret(given.value ?? '') }
}

/** What resolving needs of the surroundings. */
export type ValueReaders = {
  /** Undefined when the file does not exist; may throw when it cannot be read. */
  file(path: string): Promise<string | undefined>
  env(name: string): string | undefined
  /** Undefined when there is no such Secret or no such key; may throw when it cannot be read. */
  secret(name: SecretKeyName): Promise<string | undefined>
}

/**
 * The value as it is now, without white space around it (an editor's last newline is not part of a token).
 * Undefined: there is none, or it is empty. What the readers throw goes through.
 */
export async function resolveValue(
  source: ValueSource,
  readers: ValueReaders,
): Promise<Secret | undefined> {
  const found = await rawValue(source, readers)
  const value = found?.trim() ?? ''
  return value === '' ? undefined : new Secret(value)
}

async function rawValue(source: ValueSource, readers: ValueReaders): Promise<string | undefined> {
  switch (source.from) {
    case 'value':
      return source.value.reveal()
    case 'env':
      return readers.env(source.env)
    case 'file':
      return await readers.file(source.file)
    case 'secret':
      return await readers.secret(source.secret)
    case 'credential': {
      const directory = readers.env('CREDENTIALS_DIRECTORY')
      return directory ? await readers.file(`${directory}/${source.credential}`) : undefined
    }
  }
}

/** Where a person finds the value, for messages; never the value itself. */
export function describeSource(source: ValueSource): string {
  switch (source.from) {
    case 'value':
      return 'the value in agent.yaml'
    case 'file':
      return source.file
    case 'env':
      return `$${source.env}`
    case 'credential':
      return `$CREDENTIALS_DIRECTORY/${source.credential}`
    case 'secret':
      return `the key ${source.secret.key} of Secret ${source.secret.namespace}/${source.secret.name}`
  }
}
