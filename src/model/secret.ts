const inspect = Symbol.for('nodejs.util.inspect.custom')

/**
 * A value that must never be printed: token, private key, password, header of a credential.
 *
 * Every ordinary way to text (template, JSON, console, inspect, log field) yields `[secret]`; only
 * {@link Secret.reveal} gives the value. A reveal stands only where the value leaves for its purpose: a request, a TLS
 * context, a private file.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  get isEmpty(): boolean {
    return this.#value === ''
  }

  equals(other: Secret): boolean {
    return this.#value === other.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect](): string {
    return '[secret]'
  }
}
