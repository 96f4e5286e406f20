/** Missing `url`: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment decide. */
export type ProxySettings = {
  /** May hold `user:password@`. */
  url?: string
  /** Hosts that are reached directly, in NO_PROXY's forms; see {@link proxyFor}. */
  except?: readonly string[]
}

type Environment = (name: string) => string | undefined

/**
 * The proxy for a URL, or `undefined` to go directly. One rule for all runtimes, that of Go's httpproxy, because the
 * users of the Go agent have configured theirs for it:
 *
 * - lower-case variables win over upper-case ones;
 * - localhost and loopback addresses are never proxied;
 * - an exception is `host` (and what is below it), `.suffix` or `*.suffix` (only what is below), each with an optional
 *   `:port`, an address, an IPv4 block `10.0.0.0/8`, or `*`.
 */
export function proxyFor(url: URL, settings: ProxySettings, env: Environment): URL | undefined {
  const text = settings.url ?? fromEnvironment(url.protocol, env)
  if (text === undefined || isLoopback(url.hostname)) return undefined
  const listed = settings.url === undefined ? (either('NO_PROXY', env) ?? '').split(',') : []
  const exceptions = [...listed, ...(settings.except ?? [])]
  if (exceptions.some((exception) => excepts(exception.trim().toLowerCase(), url))) return undefined
  return new URL(text.includes('://') ? text : `http://${text}`)
}

function fromEnvironment(protocol: string, env: Environment): string | undefined {
  const own = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  return either(own, env) ?? either('ALL_PROXY', env)
}

function either(name: string, env: Environment): string | undefined {
  return env(name.toLowerCase()) ?? env(name)
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function excepts(exception: string, url: URL): boolean {
  if (exception === '') return false
  if (exception === '*') return true
  if (exception.includes('/')) return inBlock(url.hostname, exception)
  const host = bare(url.hostname)
  const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(bare(exception)) ?? []
  // An IPv6 address has colons of its own: what looks like its port may be its last part.
  if (bare(exception) === host) return true
  if (port !== undefined && port !== (url.port || defaultPort(url.protocol))) return false
  const suffix = name.replace(/^\*/, '')
  if (suffix.startsWith('.')) return host.endsWith(suffix)
  return host === bare(suffix) || host.endsWith(`.${suffix}`)
}

/** Without the brackets of an IPv6 address and the final dot of a full name. */
function bare(host: string): string {
  return host.replace(/^\[([^\]]*)\]/, '$1').replace(/\.$/, '')
}

function defaultPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80'
}

function inBlock(host: string, block: string): boolean {
  const [base = '', bits = ''] = block.split('/')
  const address = ipv4(host)
  const start = ipv4(base)
  if (address === undefined || start === undefined || !/^\d+$/.test(bits)) return false
  const size = 2 ** (32 - Number(bits))
  return Math.floor(address / size) === Math.floor(start / size)
}

function ipv4(text: string): number | undefined {
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(text)) return undefined
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}
