/**
 * src/main.ts and all that it imports as one file, dist/agent.mjs, for Bun, Deno 2 and Node 22.19 or later; beside it
 * dist/agent-kubernetes.mjs, what is taken of the Kubernetes library, which only agents with Kubernetes load, and
 * dist/agent-storage.mjs, kysely and pg, and dist/agent-servers.mjs, the commands of servers, which only those load.
 *
 * The same input gives the same bytes, wherever the clone is: undici asks for `__filename`, which `bun build --compile`
 * would replace by the absolute path of the bundle on the build machine, so that it is defined away here.
 */
import { build, stop } from 'esbuild'
import type { Plugin } from 'esbuild'
import { join } from 'node:path'
import { ROOT } from './repository.ts'

/**
 * An entry point of the product; the executable is compiled from `agent`. `plain`: as text and without bytecode, which
 * costs five times its size, in executables; for what is loaded once by those few who need it.
 */
export type Entry = { name: string; source: string; plain?: true }

/** The first is started; the others lie beside it and are loaded by it. */
export const ENTRIES: readonly Entry[] = [
  { name: 'agent', source: 'src/main.ts' },
  { name: 'agent-kubernetes', source: 'src/clients/kubernetes/library.ts' },
  { name: 'agent-storage', source: 'src/storage/library.ts', plain: true },
  { name: 'agent-servers', source: 'src/cli/director-commands.ts', plain: true },
]

// Packages that are CommonJS call `require` for Node's own modules, which an ES module does not have.
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'\n" +
  'const require = __createRequire(import.meta.url)'

/** Bun puts into an executable what its first module imports as a file. */
const PLAIN = ENTRIES.filter(({ plain }) => plain)
  .map(({ name }) => `import './${name}.mjs' with { type: 'file' }\n`)
  .join('')

const UNDICI = /\/undici\/index\.js$/
/** What only Node and Deno load: left out of executables, where it costs 3 MB of file and 2 MB of resident memory. */
const NOT_FOR_BUN: Plugin = {
  name: 'not-for-bun',
  setup: ({ onLoad }) => {
    onLoad({ filter: UNDICI }, () => ({ contents: 'export {}' }))
  },
}

/** The Kubernetes library without what we never call: agents that open connections of their own, 5 MB of generated classes. */
const LEAN_KUBERNETES: Plugin = {
  name: 'lean-kubernetes',
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^(undici|socks|socks-proxy-agent|hpagent|\.\/gen\/.*)$/ }, (found) =>
      found.importer.includes('/@kubernetes/client-node/')
        ? { path: found.path, namespace: 'never-called' }
        : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'never-called' }, () => ({ contents: NEVER_CALLED }))
  },
}
const NEVER_CALLED = [
  ...['Agent', 'ProxyAgent', 'SocksClient', 'SocksProxyAgent', 'HttpProxyAgent', 'HttpsProxyAgent'],
  ...['createConfiguration', 'ServerConfiguration', 'from', 'of', 'Observable'],
]
  .map((name) => `export class ${name} {}`)
  .join('\n')

export type BundleOptions = {
  /** Absolute. */
  outfile: string
  version: string
  /** Runs under Bun only. */
  onlyBun?: boolean
}

/**
 * Bundles one entry point into `outfile`, and gives the files that are inside, relative to the root. Throws an Error
 * whose message is esbuild's list of problems.
 */
export async function bundle(
  source: string,
  { outfile, version, onlyBun = false }: BundleOptions,
): Promise<string[]> {
  const entry = ENTRIES.find((one) => one.source === source)
  const { metafile } = await build({
    entryPoints: [join(ROOT, source)],
    outfile,
    absWorkingDir: ROOT,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    // pg asks for both, and does without.
    external: ['bun:*', 'pg-native', 'pg-cloudflare'],
    plugins: onlyBun ? [NOT_FOR_BUN, LEAN_KUBERNETES] : [LEAN_KUBERNETES],
    define: {
      AGENT_VERSION: JSON.stringify(version),
      AGENT_KUBERNETES: JSON.stringify('./agent-kubernetes.mjs'),
      AGENT_STORAGE: JSON.stringify('./agent-storage.mjs'),
      AGENT_SERVERS: JSON.stringify('./agent-servers.mjs'),
      __filename: 'undefined',
      __dirname: 'undefined',
    },
    banner: { js: onlyBun && entry === ENTRIES[0] ? PLAIN + REQUIRE : REQUIRE },
    minify: onlyBun && entry?.plain === true,
    legalComments: 'inline',
    logLevel: 'silent',
    metafile: true,
  })
  // Else its process stays beside the agent for as long as npm start runs.
  await stop()
  const inputs = Object.values(metafile.outputs).flatMap((output) =>
    Object.keys(output.inputs).filter((input) => output.inputs[input]!.bytesInOutput > 0),
  )
  // Of what is left out its name stays.
  return inputs.filter((input) => !(onlyBun && UNDICI.test(input)))
}
