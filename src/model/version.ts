declare const AGENT_VERSION: string | undefined

/** Stamped by scripts/build.ts; `0.0.0-source` when run from the sources. */
export const version: string = typeof AGENT_VERSION === 'string' ? AGENT_VERSION : '0.0.0-source'
