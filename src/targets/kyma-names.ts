import type { Application } from '../model/application.ts'
import { sha1 } from '../model/digest.ts'
import { normalizeName } from '../model/names.ts'

/*
 * Names of the Kyma objects as the live Go agent gives them (reference/go-agent.md §7, §10), its oddities included:
 * the Central Application Gateway computes the same ones.
 */

const PREFIX = 'mp-'
/** 63, less an id of 36 and the `-` before it. */
const SECRET_PREFIX_LIMIT = 26
const LABEL_LIMIT = 63
const NAME_LIMIT = 253

const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/

/** Name of the Application CR: the Director's, normalised here unless the Director says that it is so already. */
export function applicationName({ name }: Pick<Application, 'name'>, normalized: boolean): string {
  return normalized ? name : mpName(name)
}

/** `mp-…` of lower-case letters, digits and `-`, as the Go agent's own normaliser makes it. */
function mpName(name: string): string {
  const isNormal = name.startsWith(PREFIX) && name === normal(name)
  return isNormal ? name : normal(PREFIX + name)
}

function normal(name: string): string {
  // Go lower-cases U+0130 to one letter, JavaScript to two characters.
  const lower = name.replaceAll('\u0130', 'i').toLowerCase()
  return lower
    .replace(/[^-a-z0-9]/gu, '-')
    .replace(/-{2,}/g, '-')
    .replace(/-$/, '')
}

/** Name of a bundle's service in the CR. */
export function serviceName(name: string, id: string): string {
  return `${normalizeName(name)}-${sha1(id).slice(0, 5)}`.replace(/^-/, '')
}

/** Where workloads in the cluster reach an API; `application` is the name of the CR. */
export function gatewayPath(application: string, bundle: string, api: string): string {
  return `${application}/${normalizeName(bundle)}/${normalizeName(api)}`
}

/** What a Secret of a bundle holds. */
export type SecretPart = 'credentials' | 'parameters'

export function secretName(part: SecretPart, application: string, bundleId: string): string {
  const prefix = part === 'credentials' ? application : `params-${application}`
  return `${prefix.slice(0, SECRET_PREFIX_LIMIT)}-${bundleId}`
}

/** Whether Kubernetes takes it as the name of an Application or a Secret. */
export function isObjectName(name: string): boolean {
  return name.length <= NAME_LIMIT && DNS_SUBDOMAIN.test(name)
}

/** Whether Kubernetes takes it as the value of a label. */
export function isLabelValue(value: string): boolean {
  return value.length <= LABEL_LIMIT && LABEL_VALUE.test(value)
}

/** The name of a CR as the value of a label: cut where it is longer than one may be. */
export function labelOf(application: string): string {
  return application.slice(0, LABEL_LIMIT).replace(/[-.]+$/, '')
}
