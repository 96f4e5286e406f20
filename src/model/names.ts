import { sha256 } from './digest.ts'

/** Kubernetes' limit for labels and most names; in characters, which are ASCII here. */
const NAME_LIMIT = 57
const PART_LIMIT = 24

/**
 * The Go agent's NormalizeName, defects included, because gateway paths are computed from it (reference/go-agent.md
 * §7): runs of other characters become one `-`, lower case, one trailing `-` dropped, cut to 57, one leading `-`
 * dropped. May be empty, and may end in `-` after the cut.
 *
 * @testing by its vectors; names of objects are made from it.
 */
export function normalizeName(name: string): string {
  return name
    .replace(/[^A-Za-z0-9]+/g, '-')
    .toLowerCase()
    .replace(/-$/, '')
    .slice(0, NAME_LIMIT)
    .replace(/^-/, '')
}

/** {@link normalizeName} cut to 24 characters, never ending in `-`. May be empty. */
function slug(name: string): string {
  return normalizeName(name).slice(0, PART_LIMIT).replace(/-+$/, '')
}

/** The first 8 hex characters of SHA-256 over an id: tells things of one slug apart. */
function suffix(id: string): string {
  return sha256(id).slice(0, 8)
}

/**
 * Name of a binding where names are ours to give: `ucl-<application>-<bundle>-<8 hex of the bundle id>`, at most 62
 * characters of `[a-z0-9-]`. Valid as label, DNS name, directory, Cloud Foundry and Service Broker name at once.
 */
export function bindingName(application: string, bundle: { id: string; name: string }): string {
  return ['ucl', slug(application), slug(bundle.name), suffix(bundle.id)].filter(Boolean).join('-')
}

/** `<slug>-<8 hex of the id>`, or the hex alone. */
export function slugWithId(name: string, id: string): string {
  return [slug(name), suffix(id)].filter(Boolean).join('-')
}

/** Whether `text` matches `pattern`, in which `*` stands for any run of characters and everything else for itself. */
export function matchesGlob(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return text === pattern
  if (!text.startsWith(first)) return false
  const last = rest.pop() ?? ''
  let at = first.length
  // The leftmost place of each piece leaves the most room for the next, so no piece is ever tried twice.
  for (const piece of rest) {
    const found = text.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
