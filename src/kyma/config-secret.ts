import type { TokenSource } from '../agent/ports.ts'
import { SECRETS } from '../clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../clients/kubernetes/api.ts'
import { followObject } from '../clients/kubernetes/follow.ts'
import type { Follower } from '../clients/kubernetes/follow.ts'
import { dataOf } from '../clients/kubernetes/secrets.ts'
import type { SecretName } from '../clients/kubernetes/secrets.ts'
import { isSafeUrl } from '../config/fields.ts'
import { AgentError } from '../model/problem.ts'
import type { Code } from '../model/problem.ts'
import { Secret } from '../model/secret.ts'
import type { Instant } from '../model/time.ts'
import { textOfBase64 } from '../runtime/base64.ts'

export type SecretOptions = { kubernetes: Kubernetes; secret: SecretName; now: () => Instant }

/** A token in a Secret, followed as long as it is not closed. */
export type SecretToken = TokenSource & { close(): void }

/** The one-time token in a key of a Secret: `connector.token: {secret: …}`. */
export function openSecretToken(options: SecretOptions & { key: string }): SecretToken {
  const { kubernetes, secret, now, key } = options
  const follower = followObject({ kubernetes, resource: SECRETS, ref: secret, now })
  return {
    read: () => readToken(follower, secret, key),
    close: () => follower.close(),
  }
}

/**
 * The Secret that Compass Manager writes for the Go agent (reference/go-agent.md §1): where to enrol, with what, and as
 * which runtime. Every getter gives what was last seen; undefined: not there (yet). What is there and cannot be used is
 * thrown, so that the step that needed it fails with the reason.
 */
export type ConfigSecret = {
  token: TokenSource
  connectorUrl(): string | undefined
  runtimeId(): string | undefined
  tenant(): string | undefined
  close(): void
}

const CONNECTOR_URL = 'CONNECTOR_URL'
const RUNTIME_ID = 'RUNTIME_ID'
const TENANT = 'TENANT'
const TOKEN = 'TOKEN'

/** As ids go into headers, paths and marks, they are of these characters. */
const ID = /^[\w.:-]{1,100}$/

/** `otherRuntime` is called when another runtime or tenant is named: what failed for the old one may work at once. */
export function openConfigSecret(
  options: SecretOptions & { otherRuntime: () => void },
): ConfigSecret {
  const { kubernetes, secret, now } = options
  const follower = followObject({
    kubernetes,
    resource: SECRETS,
    ref: secret,
    now,
    seen(after, before) {
      const other = [RUNTIME_ID, TENANT].some(
        (key) => textOf(before?.object, key) !== textOf(after, key),
      )
      if (before !== undefined && other) options.otherRuntime()
    },
  })
  const get = (key: string): string | undefined => textOf(follower.latest()?.object, key)
  const id = (key: string, code: Code): string | undefined => {
    const value = get(key)
    if (value === undefined || ID.test(value)) return value
    throw unusable(secret, { key, code, want: 'an id' })
  }
  return {
    token: { read: () => readToken(follower, secret, TOKEN) },
    connectorUrl() {
      const value = get(CONNECTOR_URL)
      if (value === undefined || isSafeUrl(value)) return value
      const code = 'connector_url_missing'
      throw unusable(secret, { key: CONNECTOR_URL, code, want: 'an https:// URL' })
    },
    runtimeId: () => id(RUNTIME_ID, 'runtime_mismatch'),
    tenant: () => id(TENANT, 'tenant_wrong'),
    close: () => follower.close(),
  }
}

async function readToken(
  follower: Follower,
  { namespace, name }: SecretName,
  key: string,
): Promise<Secret | undefined> {
  await follower.look()
  const latest = follower.latest()
  const problem = follower.problem()
  // What was seen once holds through an outage; what a person must mend is told at once.
  if (problem !== undefined && (latest === undefined || problem.class === 'operator')) {
    const why = problem.message.replace(/^Cannot /, 'cannot ')
    const message = `Cannot read the token from Secret ${namespace}/${name}: ${why}`
    throw new AgentError('token_unreadable', message, { hint: problem.hint })
  }
  const text = textOf(latest?.object, key)
  return text === undefined ? undefined : new Secret(text)
}

function textOf(object: KubeObject | undefined, key: string): string | undefined {
  const value = object && dataOf(object).get(key)
  const text = value === undefined ? '' : textOfBase64(value).trim()
  return text === '' ? undefined : text
}

function unusable(
  { namespace, name }: SecretName,
  { key, code, want }: { key: string; code: Code; want: string },
): AgentError {
  const message = `Cannot use ${key} of Secret ${namespace}/${name}: want ${want}`
  return new AgentError(code, message, { hint: `correct ${key} of that Secret` })
}
