import type { KubeObject } from '../clients/kubernetes/api.ts'
import type { Instant } from '../model/time.ts'

/** The members of a value of the CR; none where it is no object: a person may have written anything. */
export function memberOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

/** A time of the CR; undefined for null and for what is none. */
export function timeOf(value: unknown): Instant | undefined {
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? undefined : at
}

/** RFC 3339 in whole seconds, as metav1.Time is written; null when unset. */
export function wholeSeconds(at: Instant | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

/** Whether the CR tells of this certificate. Seconds are all that it keeps, and all that certificates have. */
export function hasCertificate(
  existing: KubeObject | undefined,
  { notBefore, notAfter }: { notBefore: Instant; notAfter: Instant },
): boolean {
  const status = memberOf(memberOf(existing?.['status'])['connectionStatus'])
  const known = memberOf(status['certificateStatus'])
  return (
    known['notBefore'] === wholeSeconds(notBefore) && known['notAfter'] === wholeSeconds(notAfter)
  )
}
