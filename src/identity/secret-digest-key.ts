import type { Kubernetes } from '../clients/kubernetes/api.ts'
import {
  changeSecret,
  readSecret,
  type SecretChange,
  type SecretName,
  type SecretTexts,
} from '../clients/kubernetes/secrets.ts'
import { AgentError } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import { makeDigestKey, parseDigestKey, type DigestKey } from './digest-key.ts'

const KEY = 'runtime-agent.digest.key'

export type SecretDigestKey = DigestKey & {
  /** Reads the key; one that is not there yet is made, and kept by nobody. For who only looks. */
  load(): Promise<void>
}

/**
 * The key in the identity Secret. Its value is known only after `keep` or `load`, as the API server need not answer when
 * the agent starts: to use it before is a defect. Two agents that make one at the same time end with the same.
 */
export function openSecretDigestKey(kubernetes: Kubernetes, secret: SecretName): SecretDigestKey {
  const { signal } = new AbortController()
  const key = new LateSecret()
  return {
    key,
    async load() {
      if (!key.isEmpty) return
      const stored = parseDigestKey((await readSecret(kubernetes, secret, signal))?.get(KEY))
      key.set(stored ?? makeDigestKey())
    },
    async keep() {
      const made = key.isEmpty ? makeDigestKey() : key.reveal()
      let known = made
      const change = (texts: SecretTexts | undefined): SecretChange | undefined => {
        const stored = parseDigestKey(texts?.get(KEY))
        known = stored ?? made
        return stored === undefined ? { [KEY]: made } : undefined
      }
      await changeSecret(kubernetes, secret, change, signal)
      key.set(known)
    },
  }
}

/** A Secret that becomes known after it was handed out. */
class LateSecret extends Secret {
  #known = ''

  constructor() {
    super('')
  }

  set(value: string): void {
    this.#known = value
  }

  override reveal(): string {
    if (this.#known !== '') return this.#known
    throw new AgentError('internal', 'Cannot hash secrets: the key for it was not read yet')
  }

  override get isEmpty(): boolean {
    return this.#known === ''
  }

  override equals(other: Secret): boolean {
    return this.#known === other.reveal()
  }
}
