import { AgentError } from '../../model/problem.ts'
import { Secret } from '../../model/secret.ts'
import { formatDuration, MINUTE, SECOND } from '../../model/time.ts'
import type { Instant } from '../../model/time.ts'
import { toBase64 } from '../../runtime/base64.ts'
import { lstat } from '../../runtime/files.ts'
import { openHttp } from '../../runtime/http.ts'
import type { TlsClient } from '../../runtime/http.ts'
import { env } from '../../runtime/process.ts'
import { NO_PROXY } from '../../runtime/proxy.ts'
import type { ProxySettings } from '../../runtime/proxy.ts'
import { hostOf } from '../http.ts'
import type { Kubernetes, KubernetesOptions } from './api.ts'
import { kubernetesOver } from './client.ts'
import type { KubeConfig } from './library.ts'
import { isMembers } from './decode.ts'
import { openWire } from './wire.ts'
import type { Connection } from './wire.ts'

/*
 * From a kubeconfig, or the service account of the pod, to a connection. The library finds and understands it and logs in
 * (exec plugins, OIDC, files of tokens); everything is sent over our own fetch. Its errors and those of its YAML parser
 * quote what they read, so that none of them is kept.
 */

declare const AGENT_KUBERNETES: string | undefined

/** Beside this file, or beside the bundle, which says so; computed, so that no bundler takes it in. */
const LIBRARY = typeof AGENT_KUBERNETES === 'string' ? AGENT_KUBERNETES : './library.ts'

const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token'
/** Where the file system of the pod begins. */
const ROOT = ''
/** How long a plugin or a provider of tokens may take. */
const LOGIN_LIMIT = 30 * SECOND

type Library = { KubeConfig: new () => KubeConfig }

/** What the library fills in for a connection; it is typed as options of a WebSocket. */
type Login = { ca?: unknown; cert?: unknown; key?: unknown; headers?: unknown; auth?: unknown }

/**
 * The Kubernetes API that the options name. Tests put the file system of a pod elsewhere.
 *
 * @throws AgentError kubeconfig_invalid when it cannot be used as it is, kubernetes_failed when a log-in fails
 */
export async function openKubernetes(
  options: KubernetesOptions,
  root: string = ROOT,
): Promise<Kubernetes> {
  const wire = await openWire(() => connect(options, root), options)
  return kubernetesOver(wire)
}

async function connect(options: KubernetesOptions, root: string): Promise<Connection> {
  const config = new (await loadLibrary()).KubeConfig()
  const place = await load(config, options.kubeconfig, root)
  const { cluster, namespace } = choose(config, place, options.context)
  const { server, proxyUrl, tlsServerName } = cluster
  const login = loginsOf(config, place)
  const { token } = options
  const http = openHttp({
    tls: {
      ...tlsOf(await login(), token === undefined),
      ...(isGiven(tlsServerName) ? { serverName: tlsServerName } : {}),
    },
    proxy: proxyOf(place, proxyUrl),
  })
  const headers =
    token === undefined
      ? async () => headersOf(await login())
      : () => Promise.resolve({ authorization: new Secret(`Bearer ${token.reveal()}`) })
  return { url: server, namespace, http, headers }
}

/**
 * A pod reaches its own API server directly, by an address that no proxy outside of the cluster can reach. For a kubeconfig
 * it is as for kubectl: its proxy-url, else the environment. `proxy` of agent.yaml is for Compass.
 */
function proxyOf(place: string, url: string | undefined): ProxySettings {
  if (place === IN_CLUSTER) return NO_PROXY
  return isGiven(url) ? { url } : {}
}

async function loadLibrary(): Promise<Library> {
  // The type of a module whose path is computed is ours to say.
  return (await import(new URL(LIBRARY, import.meta.url).href)) as Library
}

/** Fills `config`; what it was filled from, for messages. */
async function load(
  config: KubeConfig,
  kubeconfig: string | undefined,
  root: string,
): Promise<string> {
  const place = kubeconfig === undefined ? await foundPlace(root) : `kubeconfig ${kubeconfig}`
  try {
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig)
    else if (place === IN_CLUSTER) config.loadFromCluster(root)
    else config.loadFromDefault()
  } catch (thrown) {
    throw invalid(place, codeOf(thrown) ?? 'it is no kubeconfig')
  }
  return place
}

const IN_CLUSTER = 'the service account of the pod'

async function foundPlace(root: string): Promise<string> {
  const inCluster = env('KUBERNETES_SERVICE_HOST') !== undefined
  if (inCluster && (await lstat(`${root}${TOKEN_FILE}`)) !== undefined) return IN_CLUSTER
  const named = env('KUBECONFIG')
  if (named !== undefined) return `kubeconfig ${named}`
  const why =
    'there is no service account of a pod, and neither kubernetes.kubeconfig nor KUBECONFIG is set'
  throw new AgentError('kubeconfig_invalid', `Cannot find a Kubernetes API: ${why}`)
}

type Choice = { cluster: Cluster; namespace: string }
type Cluster = NonNullable<ReturnType<KubeConfig['getCurrentCluster']>>

/** The cluster of the context, when all that is needed is there. */
function choose(config: KubeConfig, place: string, named: string | undefined): Choice {
  if (named !== undefined) config.setCurrentContext(named)
  // Typed as text always, but a file may have none.
  const name: string | undefined = config.getCurrentContext()
  if (!isGiven(name)) throw invalid(place, 'it has no current-context')
  const context = config.getContextObject(name)
  if (context === null) throw invalid(place, `there is no context '${name}' in it`)
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw invalid(place, `there is no cluster '${context.cluster}' in it`)
  if (config.getCurrentUser() === null) {
    throw invalid(place, `there is no user '${context.user}' in it`)
  }
  if (cluster.skipTLSVerify) {
    throw invalid(place, 'insecure-skip-tls-verify is set: name the CA of the cluster instead')
  }
  if (!isSafe(cluster.server)) {
    throw invalid(place, `server '${hostOf(cluster.server)}' is neither https nor on this machine`)
  }
  return { cluster, namespace: isGiven(context.namespace) ? context.namespace : 'default' }
}

/** `kubectl proxy` beside us is plain HTTP; anywhere else that would give the credentials away. */
function isSafe(server: string): boolean {
  if (!URL.canParse(server)) return false
  const { protocol, hostname } = new URL(server)
  const isHere = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]'
  return protocol === 'https:' || (protocol === 'http:' && isHere)
}

/** Logs in, at most once a minute: what was given before is good for that long. The library caches for longer. */
function loginsOf(config: KubeConfig, place: string): () => Promise<Login> {
  let last: { at: Instant; login: Promise<Login> } | undefined
  return () => {
    const now = Date.now()
    if (last === undefined || now < last.at || now > last.at + MINUTE) {
      last = { at: now, login: logIn(config, place) }
      last.login.catch(() => (last = undefined))
    }
    return last.login
  }
}

async function logIn(config: KubeConfig, place: string): Promise<Login> {
  const login = {}
  const late = AbortSignal.timeout(LOGIN_LIMIT)
  const ended = new Promise<never>((_, reject) => {
    late.addEventListener('abort', () => reject(new Error()), { once: true })
  })
  try {
    await Promise.race([config.applyToHTTPSOptions(login), ended])
  } catch (thrown) {
    const why = late.aborted
      ? `no credentials came within ${formatDuration(LOGIN_LIMIT)}`
      : `the credentials cannot be had${codeOf(thrown) === undefined ? '' : `: ${codeOf(thrown)}`}`
    throw new AgentError('kubernetes_failed', `Cannot log in with ${place}: ${why}`, {
      hint: 'look at the files and the exec plugin that the kubeconfig names; it is tried again',
    })
  }
  return login
}

function tlsOf({ ca, cert, key }: Login, withIdentity: boolean): TlsClient {
  const [chain, secret] = [textOf(cert), textOf(key)]
  return {
    ...(textOf(ca) === '' ? {} : { ca: [textOf(ca)], onlyCa: true }),
    ...(withIdentity && chain !== '' ? { identity: { chain, key: new Secret(secret) } } : {}),
  }
}

function headersOf({ headers, auth }: Login): Record<string, Secret> {
  const found: Record<string, Secret> = {}
  if (typeof auth === 'string') found['authorization'] = new Secret(`Basic ${toBase64(auth)}`)
  // A token file may end in a newline.
  for (const [name, value] of Object.entries(isMembers(headers) ? headers : {}))
    found[name.toLowerCase()] = new Secret(String(value).trim())
  return found
}

/** PEM, as the library has it: text, bytes or nothing. */
function textOf(pem: unknown): string {
  if (typeof pem === 'string') return pem
  return pem instanceof Uint8Array ? new TextDecoder().decode(pem) : ''
}

function invalid(place: string, why: string): AgentError {
  return new AgentError('kubeconfig_invalid', `Cannot use ${place}: ${why}`)
}

/** What is wrong with a file, as its code. */
function codeOf(thrown: unknown): string | undefined {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return typeof code === 'string' && /^E[A-Z]+$/.test(code) ? code : undefined
}

function isGiven(value: string | null | undefined): value is string {
  return value !== undefined && value !== null && value !== ''
}
