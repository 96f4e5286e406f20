/** LICENSES.txt of a release: our own licence, those of the packages inside with their texts, and that of Bun. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './repository.ts'
import type { Inside } from './sbom.ts'

const RULE = '='.repeat(80)

/** The whole text. Throws an Error that names a package without a licence text: nothing is shipped without. */
export function licenceTexts(packages: readonly Inside[]): string {
  const ours = readFileSync(join(ROOT, 'LICENSE'), 'utf8')
  // Two copies of one package in one version are told once.
  const byName = new Map(packages.map((one) => [`${one.name} ${one.version}`, one]))
  const parts = [...byName].map(([name, one]) => {
    const title = `${name} (${one.license ?? 'see below'}), in ${one.of.join(' and ')}`
    return section(title, textOf(one))
  })
  return [section('runtime-agent (Apache-2.0)', ours), ...parts, ...bunTexts()].join('')
}

function section(title: string, text: string): string {
  return `${RULE}\n${title}\n${RULE}\n\n${text.replaceAll('\r\n', '\n').trim()}\n\n`
}

/** Licences and notices as the package has them. */
function textOf({ path, name }: Inside): string {
  const files = readdirSync(join(ROOT, path))
    .filter((file) => /^(licen[cs]e|copying|(third.?party.?)?notice|copyright)/i.test(file))
    .filter((file) => !/\.(js|ts|json|html)$/.test(file))
    .sort()
  const texts = files.map((file) => readFileSync(join(ROOT, path, file), 'utf8').trim())
  if (!files.some((file) => /^(licen[cs]e|copying)/i.test(file))) {
    const text = textInReadme(join(ROOT, path, 'README.md'))
    if (text === undefined)
      throw new Error(`Cannot tell the licence of ${name}: there is no licence text in ${path}`)
    texts.unshift(text)
  }
  return texts.join('\n\n')
}

/** The last section of a README, when it is a licence with its whole text, and not only the name of one. */
function textInReadme(file: string): string | undefined {
  if (!existsSync(file)) return undefined
  const section = /^#+ licen[cs]e$([^]*)/im.exec(readFileSync(file, 'utf8'))?.[1]?.trim() ?? ''
  return /copyright \(c\)/i.test(section) && section.includes('WARRANTIES') ? section : undefined
}

/** Bun's own licence page, which its npm package leaves out and that of its types has; the texts that it refers to. */
function bunTexts(): string[] {
  const page = readFileSync(
    join(ROOT, 'node_modules/bun-types/docs/project/license.mdx'),
    'utf8',
  ).replace(/^---[^]*?---\n/, '')
  const lgpl = ['2.0', '2.1'].map((version) =>
    section(
      `GNU Library or Lesser General Public License ${version}, for parts of Bun`,
      readFileSync(join(ROOT, `scripts/licences/LGPL-${version}.txt`), 'utf8'),
    ),
  )
  return [section(`Bun ${Bun.version} (MIT and others), in executables`, page), ...lgpl]
}
