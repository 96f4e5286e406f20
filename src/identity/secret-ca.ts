import type { Kubernetes } from '../clients/kubernetes/api.ts'
import {
  changeSecret,
  type SecretChange,
  type SecretName,
  type SecretTexts,
} from '../clients/kubernetes/secrets.ts'
import { toAgentError, type Problem } from '../model/problem.ts'
import { splitPem } from '../runtime/keys.ts'

/** The key that the Go agent writes, and that gateways read. */
const KEY = 'cacert'

/** The Secret that others read the authorities of our certificate from. It is not needed for anything that we do. */
export type CaSecret = {
  /** Writes the issuers of this chain (PEM) when they are not among those that are there. Never throws. */
  keep(chain: string): Promise<void>
  /** Why they are not there. */
  problem(): Problem | undefined
}

export type CaSecretOptions = {
  kubernetes: Kubernetes
  caSecret?: SecretName
  warn: (problem: Problem) => void
}

/**
 * The Go agent enrols and renews anew in every pass while it cannot write this Secret (go-agent-measured.md §2 h): here
 * a missing namespace or right is a problem to show, said once.
 */
export function openCaSecret({ kubernetes, caSecret, warn }: CaSecretOptions): CaSecret {
  const { signal } = new AbortController()
  let problem: Problem | undefined
  return {
    problem: () => problem,
    async keep(chain) {
      if (caSecret === undefined) return
      const issuers = splitPem(chain).slice(1)
      if (issuers.length === 0) return
      const change = (texts: SecretTexts | undefined): SecretChange | undefined => {
        const there = new Set(splitPem(texts?.get(KEY) ?? ''))
        return issuers.every((one) => there.has(one)) ? undefined : { [KEY]: issuers.join('') }
      }
      try {
        await changeSecret(kubernetes, caSecret, change, signal)
        problem = undefined
      } catch (thrown) {
        const before = problem
        problem = toAgentError(thrown).toProblem()
        if (before?.message !== problem.message) warn(problem)
      }
    },
  }
}
