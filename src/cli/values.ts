import type { TokenSource } from '../agent/ports.ts'
import { readSecret } from '../clients/kubernetes/secrets.ts'
import type { Kubernetes } from '../clients/kubernetes/api.ts'
import type { ValueSource } from '../config/config.ts'
import { describeSource, resolveValue } from '../config/value.ts'
import type { ValueReaders } from '../config/value.ts'
import { openSecretToken } from '../kyma/config-secret.ts'
import { AgentError, reasonOf } from '../model/problem.ts'
import { systemClock } from '../runtime/clock.ts'
import { readText } from '../runtime/files.ts'
import { certificateInfo, splitPem } from '../runtime/keys.ts'
import { env } from '../runtime/process.ts'

/** Larger files are no token and no CA bundle. */
const VALUE_LIMIT = 4 * 1024 * 1024

/** How values of agent.yaml are read. */
export function valueReaders(kubernetes: Kubernetes | undefined): ValueReaders {
  return {
    file: (path) => readText(path, VALUE_LIMIT),
    env,
    async secret({ key, ...name }) {
      if (kubernetes === undefined) return undefined
      return (await readSecret(kubernetes, name, new AbortController().signal))?.get(key)
    },
  }
}

/** The blocks of connector.ca. A CA that cannot be read is a mistake in agent.yaml: without it nothing could be verified. */
export async function readCa(
  source: ValueSource | undefined,
  readers: ValueReaders,
): Promise<string[]> {
  if (source === undefined) return []
  const pem = await resolveValue(source, readers).catch((thrown: unknown) => {
    const unreadable = thrown instanceof AgentError && thrown.code === 'disk_failed'
    throw unreadable ? badCa(source, reasonOf(thrown)) : thrown
  })
  if (pem === undefined) throw badCa(source, 'it is missing or empty')
  const blocks = splitPem(pem.reveal())
  if (blocks.length === 0) throw badCa(source, 'there is no PEM certificate in it')
  try {
    blocks.forEach(certificateInfo)
  } catch (thrown) {
    throw badCa(source, reasonOf(thrown))
  }
  return blocks
}

/**
 * The blocks of connector.ca, for as long as an agent runs: read now, which must succeed, and again whenever they are asked
 * for after that. A file that is just being replaced costs nothing: the blocks from before are given.
 */
export async function followCa(
  source: ValueSource | undefined,
  readers: ValueReaders,
): Promise<() => Promise<string[]>> {
  let last = await readCa(source, readers)
  return async () => (last = await readCa(source, readers).catch(() => last))
}

function badCa(source: ValueSource, why: string): AgentError {
  return new AgentError(
    'config_invalid',
    `Cannot use ${describeSource(source)} as connector.ca: ${why}`,
  )
}

/** connector.token. One in a Secret is followed until `close`. */
export function openToken(
  source: ValueSource,
  kubernetes: Kubernetes | undefined,
): TokenSource & { close(): void } {
  if (source.from === 'secret' && kubernetes !== undefined) {
    const { key, ...secret } = source.secret
    return openSecretToken({ kubernetes, secret, key, now: () => systemClock.now() })
  }
  const readers = valueReaders(kubernetes)
  return {
    close: () => undefined,
    async read() {
      try {
        return await resolveValue(source, readers)
      } catch (thrown) {
        if (!(thrown instanceof AgentError)) throw thrown
        throw new AgentError(
          'token_unreadable',
          `Cannot read the token from ${describeSource(source)}: ${thrown.message}`,
        )
      }
    },
  }
}
