/**
 * The import rule as tables, each row with its reason, and the function that finds what breaks them.
 *
 * A file imports from its own folder and from folders with a smaller number. What is written here is the rule;
 * ARCHITECTURE.md only tells of it.
 */
import ts from 'typescript'
import { type Import, importsOf, walk } from './source.ts'

type Layer = { level: number; reason: string }

/** Folders of src/, some of which do not exist yet. */
export const LAYERS: Record<string, Layer> = {
  model: { level: 0, reason: 'what is true, and pure rules: it knows nobody' },
  config: { level: 1, reason: 'agent.yaml → Config is pure: no file, no clock, no environment' },
  runtime: { level: 1, reason: 'operating system and runtimes: it knows no agent.yaml' },
  clients: { level: 2, reason: 'unknown in, model out: one remote API knows no other folder' },
  storage: { level: 2, reason: 'SQL and nothing of what is stored' },
  web: { level: 2, reason: 'what servers share: no server' },
  identity: { level: 3, reason: 'enrolment speaks to the Connector through its port' },
  targets: { level: 3, reason: 'a target may use the client of its platform' },
  agent: { level: 4, reason: 'decides and orders; is started by others' },
  kyma: { level: 5, reason: 'implements the ports of the agent' },
  broker: { level: 5, reason: 'a server beside the agent' },
  'runtime-director': { level: 5, reason: 'a server of its own' },
  server: { level: 5, reason: 'shows the Status of the agent' },
  devplane: { level: 6, reason: 'plays Compass, so it may use all but the command line' },
  cli: { level: 7, reason: 'composes and prints; nobody imports it but main.ts' },
}

/** The composition root stands above all folders. */
const ROOT_LEVEL = 8

type Home = { in: string[]; reason: string }

/** Where a package may be imported: folders, or single files. A package without a row may be imported nowhere. */
export const HOMES: Record<string, Home> = {
  hono: {
    in: ['web', 'server', 'broker', 'runtime-director', 'devplane'],
    reason: 'HTTP servers, and nothing else, route requests',
  },
  ky: { in: ['clients'], reason: 'outgoing HTTP has one face, with retry: 0' },
  'graphql-request': {
    in: ['clients'],
    reason: 'its errors hold whole bodies: one place drops them',
  },
  graphql: {
    in: ['devplane'],
    reason: 'the agent sends constant documents; only the plane executes',
  },
  'js-yaml': { in: ['config', 'targets', 'devplane'], reason: 'YAML is read or written there' },
  valibot: { in: ['config'], reason: 'one schema; answers of servers have hand-written decoders' },
  '@valibot/to-json-schema': { in: ['config'], reason: 'agent schema' },
  commander: { in: ['cli'], reason: 'argv is the business of the command line' },
  undici: { in: ['runtime'], reason: 'others get a fetch' },
  '@peculiar/x509': { in: ['identity/x509.ts'], reason: '20 MB of memory, loaded only to enrol' },
  'reflect-metadata': { in: ['identity/x509.ts'], reason: '@peculiar/x509 needs it first' },
  kysely: { in: ['storage'], reason: 'others get a port' },
  pg: { in: ['storage'], reason: 'others get a port' },
  '@kubernetes/client-node': {
    in: ['clients/kubernetes/library.ts'],
    reason: 'a bundle of its own, loaded by those it serves',
  },
  'bun:*': { in: ['runtime'], reason: 'runtime differences live in one folder' },
  'node:*': { in: ['runtime'], reason: 'the operating system is in one folder' },
  'node:crypto': { in: ['runtime', 'model/digest.ts'], reason: 'createHash is pure' },
}

type TypesOnly = { from: string; to: string; except: Record<string, string>; reason: string }

/** Imports that must leave nothing behind in the program; exceptions by imported file (or importing one), with reasons. */
export const TYPES_ONLY: TypesOnly[] = [
  {
    from: 'agent',
    to: 'clients',
    reason: 'a step acts through ports, so that its test needs no server',
    except: {
      'src/clients/token.ts': 'parseToken is pure',
      'src/agent/compass.ts': 'opens the clients anew when the identity changes',
      'src/agent/state-secrets.ts': 'a store of its own, which the steps know as a port',
      'src/agent/snapshot-parts.ts': 'a part of it',
    },
  },
  {
    from: 'agent',
    to: 'identity',
    reason: 'stores are ports',
    except: {
      'src/identity/enrolment.ts': 'the steps of enrolment, which act through ports',
      'src/identity/renewal.ts': 'the steps of renewal, which act through ports',
      'src/identity/token-due.ts': 'pure',
      'src/identity/subject.ts': 'pure',
    },
  },
  { from: 'agent', to: 'targets', reason: 'targets are ports', except: {} },
]

/** Globals that not every file may use. */
export const GLOBALS: Record<string, Home> = {
  process: { in: ['runtime'], reason: 'the operating system is in one folder' },
  Bun: { in: ['runtime'], reason: 'runtime differences live in one folder' },
  Deno: { in: ['runtime'], reason: 'runtime differences live in one folder' },
  setTimeout: {
    in: ['runtime', 'clients/http.ts'],
    reason: 'only the loop waits, by a Clock; a call bounds itself in time',
  },
  setInterval: { in: ['runtime'], reason: 'only the loop waits, by a Clock' },
}

/** What breaks the rule in one file (a path like `src/agent/next.ts`), as sentences with file and line. */
export function violations(source: ts.SourceFile): string[] {
  const here = importsOf(source).flatMap((one) =>
    judge(source.fileName, one).map((why) => `${source.fileName}:${one.line}: ${why}`),
  )
  const barrel = /\/index\.ts$/.test(source.fileName)
    ? [`${source.fileName}: no barrels: the port file carries the noun of the folder`]
    : []
  return [...here, ...globals(source), ...barrel]
}

function judge(from: string, one: Import): string[] {
  if (one.file === undefined) return judgePackage(from, one.specifier)
  if (!one.file.startsWith('src/')) return [`imports ${one.file}, which is not in src/`]
  return [...judgeLayer(from, one.file), ...judgeTypes(from, one)]
}

function judgeLayer(from: string, to: string): string[] {
  const [mine, theirs] = [folderOf(from), folderOf(to)]
  if (mine === theirs) return []
  const [low, high] = [levelOf(theirs), levelOf(mine)]
  if (low === undefined || high === undefined)
    return [`${low === undefined ? theirs : mine} is a folder without a row in LAYERS`]
  if (theirs === 'devplane' && mine !== 'cli')
    return [`${mine} imports devplane, which is never on the production path: only cli does`]
  if (low < high) return []
  const reason = LAYERS[mine]?.reason ?? 'composition root'
  return [`${mine} (${high}) imports ${theirs} (${low}), want a smaller number: ${reason}`]
}

function judgeTypes(from: string, one: Import): string[] {
  if (one.typeOnly) return []
  const [mine, theirs] = [folderOf(from), folderOf(one.file ?? '')]
  return TYPES_ONLY.filter((rule) => rule.from === mine && rule.to === theirs)
    .filter((rule) => !(from in rule.except) && !((one.file ?? '') in rule.except))
    .map((rule) => `${mine} imports ${one.file} for more than types: ${rule.reason}`)
}

function judgePackage(from: string, specifier: string): string[] {
  const name = packageOf(specifier)
  const home = HOMES[name] ?? HOMES[name.replace(/:.*/, ':*')]
  if (home === undefined) return [`imports ${name}, which has no row in HOMES`]
  if (isAtHome(from, home)) return []
  return [`imports ${name}, whose home is ${home.in.join(', ')}: ${home.reason}`]
}

/** A place of a home is a folder or a file of src/. */
function isAtHome(file: string, home: Home): boolean {
  return home.in.some(
    (place) => [place, `${place}.ts`].includes(file.slice(4)) || file.startsWith(`src/${place}/`),
  )
}

/** `hono/html` is of `hono`, `@peculiar/x509/x` of `@peculiar/x509`; `node:fs/promises` stays as it is. */
function packageOf(specifier: string): string {
  if (/^(node|bun):/.test(specifier)) return specifier
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

/** Uses of a global away from its home, where no member of an object is called so. */
function globals(source: ts.SourceFile): string[] {
  const found: string[] = []
  walk(source, (node) => {
    if (!ts.isIdentifier(node) || !Object.hasOwn(GLOBALS, node.text) || !isFree(node)) return
    const home = GLOBALS[node.text]
    if (home === undefined || isAtHome(source.fileName, home)) return
    const { line } = source.getLineAndCharacterOfPosition(node.getStart())
    found.push(
      `${source.fileName}:${line + 1}: uses ${node.text}, whose home is ${home.in.join(', ')}: ${home.reason}`,
    )
  })
  return found
}

/** A name of its own: not a member that happens to be called so (`x.process`, `{ process: 1 }`), but `globalThis.x`. */
function isFree(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node)
    return parent.expression.getText() === 'globalThis'
  return !(
    ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isMethodSignature(parent)
  )
}

/** `src/main.ts` is of the folder `main.ts`, which stands for the composition root. */
function folderOf(file: string): string {
  return file.split('/')[1] ?? ''
}

function levelOf(folder: string): number | undefined {
  return folder === 'main.ts' ? ROOT_LEVEL : LAYERS[folder]?.level
}
