/** The service; also the name of its user, its group and its files. */
export const SERVICE = 'runtime-agent'

export type ServiceFile = { path: string; content: string }

/** How each file of the service begins. */
export const HEAD = `# Made by agent install systemd from agent.yaml, and made anew by it: change it with systemctl edit instead.
`

/** Variables that change what an executable of Bun is, or whom it trusts. */
export const UNSET = `UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN BUN_INSPECT NODE_TLS_REJECT_UNAUTHORIZED`

/** Where a unit lies. */
export function unitPath(name: string): string {
  return `/etc/systemd/system/${name}`
}

/** A command line of a unit. */
export function words(...all: string[]): string {
  return all.map((word) => quoted(word.replaceAll('$', '$$$$'))).join(' ')
}

/** One word of a unit file: % begins a specifier there, blanks and quotes have a meaning. */
export function quoted(text: string): string {
  const plain = text.replaceAll('%', '%%')
  return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, String.raw`\$&`)}"`
}
