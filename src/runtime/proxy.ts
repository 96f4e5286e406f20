import { AgentError } from '../model/problem.ts'
import { ipBytes, isInBlock, isLoopbackAddress } from './ip-address.ts'

/** Missing `url`: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment decide. */
export type ProxySettings = {
  /** May hold `user:password@`. */
  url?: string
  /** Hosts that are reached directly, in NO_PROXY's forms; see {@link proxyFor}. */
  except?: readonly string[]
}

/** Everything is reached directly, whatever the environment says. */
export const NO_PROXY: ProxySettings = { except: ['*'] }

type Environment = (name: string) => string | undefined

/** What names a proxy: a variable, or where else it is written. */
type Named = { text: string; by: string }

/**
 * The proxy for a URL, or `undefined` to go directly. One rule for all runtimes, that of Go's httpproxy, because the
 * users of the Go agent have configured theirs for it:
 *
 * - lower-case variables win over upper-case ones;
 * - localhost and loopback addresses are never proxied;
 * - an exception is `host` (and what is below it), `.suffix` or `*.suffix` (only what is below), each with an optional
 *   `:port`, an address, a block `10.0.0.0/8` or `fd00::/8`, or `*`.
 *
 * Throws `proxy_failed` when what names the proxy is no URL of one; the message does not show it, as it may hold a
 * password.
 */
export function proxyFor(url: URL, settings: ProxySettings, env: Environment): URL | undefined {
  const named = settings.url === undefined ? ofEnvironment(url.protocol, env) : given(settings.url)
  if (named === undefined || isLoopback(url.hostname)) return undefined
  const listed = settings.url === undefined ? (either('NO_PROXY', env)?.text ?? '').split(',') : []
  const exceptions = [...listed, ...(settings.except ?? [])]
  if (exceptions.some((exception) => excepts(exception.trim().toLowerCase(), url))) return undefined
  return addressOf(named)
}

function given(text: string): Named {
  return { text, by: 'proxy.url' }
}

function ofEnvironment(protocol: string, env: Environment): Named | undefined {
  const own = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  return either(own, env) ?? either('ALL_PROXY', env)
}

function either(name: string, env: Environment): Named | undefined {
  for (const by of [name.toLowerCase(), name]) {
    const text = env(by)?.trim()
    if (text !== undefined && text !== '') return { text, by }
  }
  return undefined
}

function addressOf({ text, by }: Named): URL {
  const whole = text.includes('://') ? text : `http://${text}`
  const cannot = (why: string): AgentError =>
    new AgentError('proxy_failed', `Cannot use the proxy of ${by}: ${why}`, {
      hint: `correct ${by}: http://proxy.example:3128; what is special in user or password is written as %40`,
    })
  if (!URL.canParse(whole)) throw cannot('it is no URL')
  const url = new URL(whole)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw cannot(`it is a proxy for ${url.protocol.slice(0, -1)}, want http or https`)
  // `http://user:12#ss@proxy:3128` is port 12 of the host "user".
  if (/[/?#].*@/.test(whole.split('://')[1] ?? ''))
    throw cannot('its user or password holds a character that ends them')
  return url
}

function isLoopback(host: string): boolean {
  const address = ipBytes(host)
  return address === undefined ? bare(host) === 'localhost' : isLoopbackAddress(address)
}

function excepts(exception: string, url: URL): boolean {
  if (exception === '') return false
  if (exception === '*') return true
  const address = ipBytes(url.hostname)
  if (exception.includes('/')) return address !== undefined && isInBlock(address, exception)
  const { name, port } = parts(exception)
  if (port !== undefined && port !== (url.port || defaultPort(url.protocol))) return false
  if (address !== undefined) return ipBytes(name)?.join() === address.join()
  const host = bare(url.hostname)
  const suffix = name.replace(/^\*/, '')
  if (suffix.startsWith('.')) return host.endsWith(bare(suffix))
  return host === bare(suffix) || host.endsWith(`.${bare(suffix)}`)
}

/** `host:port`; an IPv6 address has colons of its own, so its port stands behind brackets. */
function parts(exception: string): { name: string; port?: string } {
  if (ipBytes(exception) !== undefined) return { name: exception }
  const [, name = exception, port] = /^(.*?)(?::(\d+))?$/.exec(exception) ?? []
  return port === undefined ? { name } : { name, port }
}

/** Without the final dot of a full name. */
function bare(host: string): string {
  return host.replace(/\.$/, '')
}

function defaultPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80'
}
