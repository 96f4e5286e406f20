/**
 * src/main.ts and all that it imports as one file, dist/agent.mjs, for Bun, Deno 2 and Node 22.19 or later; beside it
 * dist/agent-kubernetes.mjs, what is taken of the Kubernetes library, which only agents with Kubernetes load.
 *
 * The same input gives the same bytes, wherever the clone is: undici asks for `__filename`, which `bun build --compile`
 * would replace by the absolute path of the bundle on the build machine, so that it is defined away here.
 */
import { build, stop } from 'esbuild'
import type { Plugin } from 'esbuild'
import { join } from 'node:path'
import { ROOT } from './repository.ts'

/** An entry point of the product; the executable is compiled from `agent`. */
export type Entry = { name: string; source: string }

/** The first is started; the others lie beside it and are loaded by it. */
export const ENTRIES: readonly Entry[] = [
  { name: 'agent', source: 'src/main.ts' },
  { name: 'agent-kubernetes', source: 'src/clients/kubernetes/library.ts' },
]

// Packages that are CommonJS call `require` for Node's own modules, which an ES module does not have.
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'\n" +
  'const require = __createRequire(import.meta.url)'

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
  const { metafile } = await build({
    entryPoints: [join(ROOT, source)],
    outfile,
    absWorkingDir: ROOT,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    external: ['bun:*'],
    plugins: onlyBun ? [NOT_FOR_BUN, LEAN_KUBERNETES] : [LEAN_KUBERNETES],
    define: {
      AGENT_VERSION: JSON.stringify(version),
      AGENT_KUBERNETES: JSON.stringify('./agent-kubernetes.mjs'),
      __filename: 'undefined',
      __dirname: 'undefined',
    },
    banner: { js: REQUIRE },
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
