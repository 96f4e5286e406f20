import type { OneTimeToken } from '../../src/devplane/token.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import type { IdentityStore } from '../../src/identity/store.ts'
import type { PendingEnrolment } from '../../src/model/identity.ts'
import type { Secret } from '../../src/model/secret.ts'

/** Shorter values (`emea`) stand in many places by chance. */
const SHORTEST = 8
/** Looking for thousands of values in megabytes takes longer than the test; of large landscapes some do. */
const MOST = 200

function inJson(value: string): string {
  return JSON.stringify(value).slice(1, -1)
}

function inHtml(value: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return value.replace(/[&<>"]/g, (character) => names[character] ?? character)
}

/** Of credentials: no secret. */
const PUBLIC = new Set(['type', 'tokenUrl'])

/** Secrets that must never be met in what an agent says: credentials of the landscape, tokens, private keys. */
export class Canaries {
  readonly #values = new Set<string>()

  get size(): number {
    return this.#values.size
  }

  add(...values: (string | undefined)[]): void {
    for (const value of values) {
      if (value === undefined || value.length < SHORTEST) continue
      for (const form of [value, inJson(value), inHtml(value)]) this.#values.add(form.trim())
    }
  }

  addLandscape({ applications, configurations = [] }: Landscape): void {
    // Nothing of what a document holds is for anybody to read.
    const held = JSON.stringify(configurations.map(({ resources }) => resources))
    this.add(...[...held.matchAll(/"value":"([^"]*)"/g)].map(([, value]) => value))
    const before = this.#values.size
    for (const { auth } of applications.flatMap(({ bundles }) => bundles)) {
      if (this.#values.size - before > MOST) return
      for (const part of [auth, auth?.csrf]) {
        const members = Object.entries(part?.credential ?? {})
        this.add(...members.flatMap(([key, value]) => (PUBLIC.has(key) ? [] : [value])))
        for (const map of [part?.headers, part?.queryParams]) {
          this.add(...Object.values(map ?? {}).flat())
        }
      }
    }
  }

  addToken({ token, raw, rawEncoded }: OneTimeToken): void {
    this.add(token, raw, rawEncoded)
  }

  /** A PEM text wherever it is cut, escaped or joined: each of its lines. */
  addKey(key: Secret): void {
    this.add(...key.reveal().split('\n'))
  }

  addPending(pending: PendingEnrolment): void {
    if (pending.stage === 'intent') return
    this.addKey(pending.key)
    this.add(pending.signingToken?.reveal())
  }

  /** The same store; what passes through it is a secret from now on. */
  watch(store: IdentityStore): IdentityStore {
    const watched: Partial<IdentityStore> = {
      load: async () => {
        const loaded = await store.load()
        if (loaded !== undefined) this.addKey(loaded.identity.key)
        return loaded
      },
      savePending: (pending) => {
        this.addPending(pending)
        return store.savePending(pending)
      },
      promote: (identity) => {
        this.addKey(identity.key)
        return store.promote(identity)
      },
    }
    return new Proxy(store, {
      get: (target, name) => Reflect.get(watched, name) ?? Reflect.get(target, name),
    })
  }

  /** Those met in a text, cut short. */
  foundIn(text: string): string[] {
    return [...this.#values]
      .filter((value) => text.includes(value) && !/^-----/.test(value))
      .map((value) => `${value.slice(0, 6)}…`)
  }
}
