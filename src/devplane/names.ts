const PREFIX = 'mp-'

/**
 * The name that the Director gives to runtimes (reference/director.md §10), written anew here on purpose: the double
 * must not share a mistake with the code that it tests.
 */
export function directorName(
  name: string,
  options: { isNormalized: unknown; systemNumber?: string | undefined },
): string {
  const renames = options.isNormalized === undefined || options.isNormalized === 'true'
  const base = renames ? normalizeName(name) : name
  return options.systemNumber === undefined ? base : `${base}-${options.systemNumber}`
}

/** The Director's default normaliser: `My App` becomes `mp-my-app`, `日本` becomes `mp`. */
export function normalizeName(name: string): string {
  if (name.startsWith(PREFIX) && clean(name) === name) return name
  return clean(PREFIX + name)
}

function clean(name: string): string {
  return lowerCase(name)
    .replace(/[^-a-z0-9]/gu, '-')
    .replace(/-{2,}/g, '-')
    .replace(/-$/, '')
}

/** Go lower-cases U+0130 to `i`, JavaScript to two characters. */
function lowerCase(name: string): string {
  return name.replaceAll('\u0130', 'i').toLowerCase()
}
