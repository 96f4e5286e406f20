/** The sources of src/ as syntax trees, for the tests that hold rules over them. */
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The repository's root directory. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** One `import`, `export … from`, `import()` or `import type`. */
export type Import = {
  /** As written: `./x.ts`, `node:fs`, `hono/html`. */
  specifier: string
  /** Relative specifiers resolved, as a path like `src/model/time.ts`. */
  file?: string
  /** Leaves nothing behind in the built program. */
  typeOnly: boolean
  /** Names bound, as the exporting file calls them; `*` for a namespace, `import()` and bare imports. */
  names: string[]
  reexport: boolean
  line: number
}

/** Paths like `src/model/time.ts`, relative to the root, of all TypeScript files below these folders. */
export function filesBelow(...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
      .sort(),
  )
}

export function parse(file: string, text = readFileSync(join(ROOT, file), 'utf8')): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
}

/** Calls `visit` on a node and all below it. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  node.forEachChild((child) => walk(child, visit))
}

/** Everything that a file imports, in any of the ways of TypeScript. */
export function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = []
  const add = (at: ts.Node, specifier: ts.Node | undefined, more: Partial<Import>) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return
    const { line } = source.getLineAndCharacterOfPosition(at.getStart())
    const file = specifier.text.startsWith('.')
      ? normalize(join(dirname(source.fileName), specifier.text))
      : undefined
    found.push({
      specifier: specifier.text,
      ...(file === undefined ? {} : { file }),
      typeOnly: false,
      names: ['*'],
      reexport: false,
      line: line + 1,
      ...more,
    })
  }
  walk(source, (node) => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, clauseOf(node.importClause))
    if (ts.isExportDeclaration(node))
      add(node, node.moduleSpecifier, { reexport: true, ...exportClauseOf(node) })
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node, node.argument.literal, { typeOnly: true })
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0], {})
  })
  return found
}

function clauseOf(clause: ts.ImportClause | undefined): Partial<Import> {
  if (clause === undefined) return {}
  const bindings = clause.namedBindings
  const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : []
  const names = named.map((one) => (one.propertyName ?? one.name).text)
  if (clause.name !== undefined) names.push('default')
  if (bindings !== undefined && ts.isNamespaceImport(bindings)) names.push('*')
  const eachIsType =
    named.length > 0 && clause.name === undefined && named.every((one) => one.isTypeOnly)
  return {
    names,
    typeOnly: clause.phaseModifier === ts.SyntaxKind.TypeKeyword || eachIsType,
  }
}

function exportClauseOf(node: ts.ExportDeclaration): Partial<Import> {
  const clause = node.exportClause
  if (clause === undefined || !ts.isNamedExports(clause)) return { typeOnly: node.isTypeOnly }
  return {
    typeOnly: node.isTypeOnly || clause.elements.every((one) => one.isTypeOnly),
    names: clause.elements.map((one) => (one.propertyName ?? one.name).text),
  }
}
