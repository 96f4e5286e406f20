/**
 * POSIX paths as text. `node:path` lives in src/runtime, and config is pure, so the three rules needed are written here.
 */

/** The path as seen from an absolute directory, without `.`, `..`, double and trailing slashes. */
export function absolute(path: string, directory: string): string {
  const parts: string[] = []
  for (const part of (path.startsWith('/') ? path : `${directory}/${path}`).split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** The directory that holds an absolute path. */
export function directoryOf(path: string): string {
  return absolute('..', path)
}

/** Whether one absolute, normalised path is the other or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`)
}
