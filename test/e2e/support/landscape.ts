/** Landscapes in the form of the plane's file, and what an agent must make of them. */
import { parseLandscape } from '../../../src/devplane/landscape-file.ts'
import type { Landscape } from '../../../src/devplane/landscape.ts'

/** A landscape as it stands in the file; JSON is YAML. */
export type LandscapeFile = { runtimes: RuntimeEntry[]; applications: ApplicationEntry[] }
export type RuntimeEntry = { name: string; formations: string[] }
export type ApplicationEntry = { name: string; formations: string[]; bundles: BundleEntry[] }
export type BundleEntry = {
  name: string
  auth?: { basic: { username: string; password: string } }
  apis: { name: string; targetUrl: string }[]
}

/** One runtime for each name, seeing applications of its own: so that one plane serves many tests. */
export function landscapeFor(names: readonly string[], applications = 2): LandscapeFile {
  return {
    runtimes: names.map((name) => ({ name, formations: [name] })),
    applications: names.flatMap((name) =>
      Array.from({ length: applications }, (_, index) => applicationFor(name, index)),
    ),
  }
}

/** Two bundles: one with user and password, one without credentials. */
export function applicationFor(runtime: string, index: number): ApplicationEntry {
  const name = `${runtime} app ${index}`
  const apis = [{ name: 'API', targetUrl: `https://${runtime}-${index}.example/v1` }]
  return {
    name,
    formations: [runtime],
    bundles: [
      { name: 'Orders', auth: { basic: { username: 'user', password: `${name} one` } }, apis },
      { name: 'Public', apis },
    ],
  }
}

/** As the plane understands it, with all ids. */
export function parsed(file: LandscapeFile): Landscape {
  return parseLandscape(JSON.stringify(file))
}

/** What must be readable of a binding, by bundle id. */
export type Expected = Record<string, { password?: string; application: string }>

/** All bindings that the runtime must have. */
export function expectedFor(runtime: string, file: LandscapeFile): Expected {
  const formations = file.runtimes.find(({ name }) => name === runtime)?.formations ?? []
  const visible = parsed(file).applications.filter((application) =>
    application.formations.some((formation) => formations.includes(formation)),
  )
  const bindings = visible.flatMap(({ id, bundles }) =>
    bundles.map((bundle): [string, Expected[string]] => {
      const credential = bundle.auth?.credential
      const password = credential?.type === 'basic' ? { password: credential.password } : {}
      return [bundle.id, { application: id, ...password }]
    }),
  )
  return Object.fromEntries(bindings.sort(([a], [b]) => (a < b ? -1 : 1)))
}
