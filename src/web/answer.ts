import type { AgentError, Code } from '../model/problem.ts'

/** What servers say when they cannot do what they are asked: a code for programs, a message and a hint for people. */
export type ErrorBody = { code: string; message: string; hint?: string }

const STATUS: Partial<Record<Code, 404 | 409 | 422 | 503>> = {
  version_unknown: 404,
  runtime_missing: 404,
  identity_taken: 409,
  rollout_idle: 409,
  desired_invalid: 422,
  storage_failed: 503,
  disk_full: 503,
  disk_failed: 503,
}

/** A problem as HTTP says it. 500 for what no client can do anything about. */
export function statusOf({ code }: AgentError): 404 | 409 | 422 | 500 | 503 {
  return STATUS[code] ?? 500
}

/** For pages that need nothing from elsewhere and must not be shown within another. */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}
