/**
 * A Connector and the `viewer` of a Director in memory, with the habits of the real ones (observed-compass.md): a token
 * is spent when it arrives, whatever becomes of the answer; a second token signs; over mTLS everything may be repeated.
 */
import type { Connector, ConnectorAuth } from '../../src/clients/connector.ts'
import type { Prove } from '../../src/identity/candidate.ts'
import { parseCsr } from '../../src/identity/x509.ts'
import { AgentError } from '../../src/model/problem.ts'
import { Secret } from '../../src/model/secret.ts'
import { DAY, type Instant } from '../../src/model/time.ts'
import { ca, issue, NOW, PLANE, SUBJECT } from './fixtures.ts'

export class FakeCompass {
  /** Moved by tests. */
  time: Instant = NOW
  subject = SUBJECT
  keyAlgorithm = 'rsa2048'
  runtimeId = 'runtime-1'
  viewerType = 'RUNTIME'
  lifetime = 90 * DAY
  /** In place of what is signed. */
  chain: ((publicKeyPem: string) => Promise<string>) | undefined
  /** Thrown by the Connector before it looks at anything: a Director or database that is down. */
  down: AgentError | undefined
  /** Thrown after the token was spent and the work was done. */
  lost: Partial<Record<'configuration' | 'sign', AgentError>> = {}
  /** Thrown by `viewer`. */
  refusal: AgentError | undefined
  /** Every call as `configuration token-1`, `sign token-1+`, `sign mtls`, `viewer`. */
  readonly calls: string[] = []
  readonly csrs: string[] = []
  readonly #live = new Set<string>()

  addToken(token: string): void {
    this.#live.add(token)
  }

  isLive(token: string): boolean {
    return this.#live.has(token)
  }

  readonly connector: Connector = {
    configuration: async (auth) => {
      const caller = this.#enter('configuration', auth)
      await Promise.resolve()
      const successor = `${caller}+`
      if (auth !== 'mtls') this.#live.add(successor)
      if (this.lost.configuration) throw this.lost.configuration
      return {
        ...(auth === 'mtls' ? {} : { token: new Secret(successor) }),
        subject: this.subject,
        keyAlgorithm: this.keyAlgorithm,
        plane: PLANE,
      }
    },
    sign: async (csrPem, auth) => {
      this.#enter('sign', auth)
      this.csrs.push(csrPem)
      const { publicKey, subject } = await parseCsr(csrPem)
      const chain = this.chain
        ? await this.chain(publicKey)
        : (await issue({
            key: { publicKeyPem: publicKey, privateKeyPem: new Secret('') },
            subject,
            notBefore: this.time,
            notAfter: this.time + this.lifetime,
          })) + ca.certificate
      if (this.lost.sign) throw this.lost.sign
      return { chain, caCertificate: ca.certificate }
    },
    revoke: () => Promise.resolve(),
  }

  readonly prove: Prove = () => {
    this.calls.push('viewer')
    if (this.refusal) return Promise.reject(this.refusal)
    return Promise.resolve({ id: this.runtimeId, type: this.viewerType })
  }

  count(prefix: string): number {
    return this.calls.filter((call) => call.startsWith(prefix)).length
  }

  #enter(what: string, auth: ConnectorAuth): string {
    const caller = auth === 'mtls' ? 'mtls' : auth.token.reveal()
    this.calls.push(`${what} ${caller}`)
    if (this.down) throw this.down
    if (auth === 'mtls') return caller
    if (!this.#live.delete(caller)) throw refused()
    return caller
  }
}

/** What 400 with an empty body becomes on the token port. */
export function refused(): AgentError {
  return new AgentError('token_refused', 'Cannot read the configuration: HTTP 400, an empty body')
}
