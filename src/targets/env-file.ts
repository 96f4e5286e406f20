import type { BindingEntry } from './binding.ts'

export type EnvFile =
  | { text: string }
  /** Keys whose values no environment can hold. */
  | { refused: string[] }

/** Linux gives one variable, name included, at most 128 KiB (MAX_ARG_STRLEN); a longer one stops the unit. */
const LONGEST = 128 * 1024 - 1

/**
 * A binding for `EnvironmentFile=` of systemd: UTF-8, values in double quotes, where a backslash escapes only `"`, `\`,
 * backtick and `$`, and a line break is one (reference/vm.md §3). `.env` of others quotes differently.
 *
 * Variables carry the name of the binding, as one unit may load several and a later file would win.
 */
export function envFile(binding: string, entries: readonly BindingEntry[]): EnvFile {
  const refused = entries.filter(
    ({ key, value }) =>
      value.includes('\0') || byteLength(`${variable(binding, key)}=${value}`) > LONGEST,
  )
  if (refused.length > 0) return { refused: refused.map(({ key }) => key) }
  const lines = entries.map(({ key, value }) => `${variable(binding, key)}=${quote(value)}\n`)
  return { text: lines.join('') }
}

/** `ucl-crm-orders-1a2b3c4d` and `client-id` give `UCL_CRM_ORDERS_1A2B3C4D_CLIENT_ID`. */
function variable(binding: string, key: string): string {
  return `${binding}_${key}`.replace(/[^A-Za-z0-9]/g, '_').toUpperCase()
}

function quote(value: string): string {
  return `"${value.replace(/["\\`$]/g, '\\$&')}"`
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length
}
