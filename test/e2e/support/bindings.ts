/** The output as programs read it. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join, resolve } from 'node:path'
import type { Expected } from './landscape.ts'

export type Binding = Record<string, string>

/** A bare reader of the Service Binding layout: every file of every binding of the current generation, by name. */
export function readBindings(output: string): Record<string, Binding> {
  const root = join(resolve(output, readlinkSync(join(output, 'current'))), 'bindings')
  return Object.fromEntries(
    readdirSync(root).map((name) => {
      const keys = readdirSync(join(root, name))
      const values = keys.map((key) => [key, readFileSync(join(root, name, key), 'utf8')])
      return [name, Object.fromEntries(values) as Binding]
    }),
  )
}

/** What {@link readBindings} saw, in the form of what is expected. Throws when a binding has no `type`. */
export function seenIn(output: string): Expected {
  const bindings = Object.entries(readBindings(output)).map(
    ([name, binding]): [string, Expected[string]] => {
      if (binding['type'] !== 'ucl-api') throw new Error(`the binding ${name} has no type`)
      const { password } = binding
      const application = binding['ucl-application-id'] ?? ''
      return [
        binding['ucl-bundle-id'] ?? '',
        { application, ...(password === undefined ? {} : { password }) },
      ]
    },
  )
  return Object.fromEntries(bindings.sort(byId))
}

function byId([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}

/** Names of generations, oldest first. */
export function generations(output: string): string[] {
  if (!existsSync(output)) return []
  return readdirSync(output)
    .filter((name) => name.startsWith('gen-'))
    .sort()
}

const SCRIPTS = {
  '@sap/xsenv': `
    const { readServices } = require('@sap/xsenv')
    const services = Object.values(readServices())
    console.log(JSON.stringify(services.map(({ name, type, credentials }) =>
      ({ name, type, password: credentials.password, id: credentials['ucl-bundle-id'] }))))`,
  '@nebhale/service-bindings': `
    const { fromServiceBindingRoot } = require('@nebhale/service-bindings')
    ;(async () => {
      const found = []
      for (const binding of await fromServiceBindingRoot()) {
        const text = async (key) => (await binding.getAsBytes(key))?.toString()
        found.push({ name: binding.getName(), type: await text('type'),
          password: await text('password'), id: await text('ucl-bundle-id') })
      }
      console.log(JSON.stringify(found))
    })()`,
}

export type Library = keyof typeof SCRIPTS
export const LIBRARIES = Object.keys(SCRIPTS) as Library[]

type Read = { name: string; type?: string; password?: string; id?: string }

/** What a binding library makes of the output, in a program of its own with nothing but SERVICE_BINDING_ROOT. */
export async function readWith(library: Library, output: string): Promise<Read[]> {
  const repository = fileURLToPath(new URL('../../..', import.meta.url))
  const child = Bun.spawn([process.execPath, '-e', SCRIPTS[library]], {
    cwd: repository,
    env: { SERVICE_BINDING_ROOT: join(output, 'current', 'bindings') },
    stderr: 'inherit',
  })
  return JSON.parse(await child.stdout.text()) as Read[]
}
