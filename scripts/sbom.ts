/**
 * What is inside of a release: the packages that esbuild really took files of, and Bun; as a CycloneDX 1.6 bill of
 * materials. Versions and checksums are those of package-lock.json, so that the same commit gives the same bytes.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from './executable.ts'
import { ROOT, packageJson } from './repository.ts'

type Locked = {
  version: string
  integrity: string
  license?: string
  dependencies?: Record<string, string>
}

/** One package of which something is in a bundle. */
export type Inside = Locked & {
  /** Where it is installed: `node_modules/tsyringe/node_modules/tslib`. */
  path: string
  /** With its scope: `@peculiar/x509`. */
  name: string
  /** Which of our files hold it, for example `executables`. */
  of: string[]
}

type Component = Record<string, unknown> & { 'bom-ref': string }

/** The packages of which there are files, sorted by path. `files`: by what holds them, relative to the root. */
export function packagesOf(files: Record<string, readonly string[]>): Inside[] {
  const locked = lockedPackages()
  const found = new Map<string, Set<string>>()
  for (const [holder, inputs] of Object.entries(files))
    for (const input of inputs) {
      const path = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]
      if (path === undefined || input.startsWith('never-called:')) continue
      found.set(path, (found.get(path) ?? new Set()).add(holder))
    }
  return [...found.keys()].sort().map((path) => {
    const entry = locked[path]
    if (entry === undefined)
      throw new Error(`Cannot tell what is inside: ${path} is not in package-lock.json`)
    const name = path.replace(/^.*node_modules\//, '')
    return { ...entry, path, name, of: [...found.get(path)!].sort() }
  })
}

function lockedPackages(): Record<string, Locked> {
  const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  return (JSON.parse(text) as { packages: Record<string, Locked> }).packages
}

export type SbomOptions = {
  version: string
  packages: readonly Inside[]
  platforms: readonly Platform[]
  /** When the commit was made, as ISO 8601; left out where there is no git. */
  timestamp?: string | undefined
}

/** The bill of materials as JSON text. */
export function cycloneDx({ version, packages, platforms, timestamp }: SbomOptions): string {
  const product = `pkg:generic/runtime-agent@${encodeURIComponent(version)}`
  const bun = bunComponent(platforms)
  const components = uniqueComponents([...packages.map(packageComponent), bun])
  const direct = Object.keys(packageJson().dependencies)
  const roots = packages.filter(({ path, name }) => path === `node_modules/${name}`)
  const named = roots.filter(({ name }) => direct.includes(name)).map(purlOf)
  const content = {
    metadata: {
      ...(timestamp === undefined ? {} : { timestamp }),
      component: {
        type: 'application',
        'bom-ref': product,
        name: 'runtime-agent',
        version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components,
    dependencies: [
      { ref: product, dependsOn: [...named, bun['bom-ref']] },
      ...dependenciesOf(packages),
      { ref: bun['bom-ref'], dependsOn: [] },
    ],
  }
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(content))}`
  const head = { bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber, version: 1 }
  return `${JSON.stringify({ ...head, ...content }, null, 2)}\n`
}

function packageComponent(one: Inside): Component {
  const [scope, bare] = one.name.startsWith('@') ? one.name.split('/') : [undefined, one.name]
  return {
    type: 'library',
    'bom-ref': purlOf(one),
    ...(scope === undefined ? {} : { group: scope }),
    name: bare,
    version: one.version,
    hashes: [sha512(one)],
    licenses: licencesOf(one),
    purl: purlOf(one),
    properties: one.of.map((value) => ({ name: 'runtime-agent:in', value })),
  }
}

/** Bun is in the executables; its bytes are those of one npm package a platform. */
function bunComponent(platforms: readonly Platform[]): Component {
  const locked = lockedPackages()
  const parts = platforms.map((platform) => {
    const name = `@oven/${platform.package}`
    const entry = locked[`node_modules/${name}`]
    if (entry === undefined)
      throw new Error(`Cannot tell what is inside: ${name} is not in package-lock.json`)
    return packageComponent({ ...entry, license: 'MIT', path: '', name, of: [platform.name] })
  })
  const bun = { name: 'bun', version: Bun.version }
  return {
    type: 'platform',
    'bom-ref': purlOf(bun),
    ...bun,
    licenses: [{ license: { id: 'MIT' } }],
    purl: purlOf(bun),
    properties: [{ name: 'runtime-agent:in', value: 'executables' }],
    components: parts,
  }
}

/** Two copies of one package in one version are one component. */
function uniqueComponents(components: readonly Component[]): Component[] {
  return [...new Map(components.map((one) => [one['bom-ref'], one])).values()]
}

function dependenciesOf(packages: readonly Inside[]): { ref: string; dependsOn: string[] }[] {
  const rows = new Map<string, Set<string>>()
  for (const one of packages) {
    const row = rows.get(purlOf(one)) ?? new Set<string>()
    for (const name of Object.keys(one.dependencies ?? {})) {
      const found = resolved(one.path, name, packages)
      if (found !== undefined) row.add(purlOf(found))
    }
    rows.set(purlOf(one), row)
  }
  return [...rows].map(([ref, dependsOn]) => ({ ref, dependsOn: [...dependsOn].sort() }))
}

/** As Node looks for it: beside the package, then one level further out. */
function resolved(from: string, name: string, packages: readonly Inside[]): Inside | undefined {
  for (let at = from; ; at = at.replace(/\/?node_modules\/(?:@[^/]+\/)?[^/]+$/, '')) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`
    const found = packages.find((one) => one.path === path)
    if (found !== undefined || at === '') return found
  }
}

function purlOf({ name, version }: { name: string; version: string }): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}

function sha512({ integrity }: Locked): { alg: string; content: string } {
  const content = Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex')
  return { alg: 'SHA-512', content }
}

function licencesOf({ license = '' }: Locked): unknown[] {
  if (license === '') return []
  return /[ (]/.test(license) ? [{ expression: license }] : [{ license: { id: license } }]
}

/** A UUID (version 8) made of what is named, so that equal contents have equal numbers. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}
