/**
 * Finds exports of src/ that nothing in src/ uses.
 *
 * An exported value must be imported by another file of src/, or carry `@testing` in its comment, which says that a test
 * is its only reader and why it is exported all the same. An exported type may also serve its own file only: it is part
 * of what the file's other exports say.
 */
import ts from 'typescript'
import { type Import, importsOf, walk } from './source.ts'

/** Exports that are used in a way that this search cannot see, by `file#name`, with the reason. */
export const EXCEPTIONS: Record<string, string> = {}

type Export = { name: string; kind: 'value' | 'type'; testing: boolean; line: number }

/** Sentences, one for each dead export, of the files of src/. */
export function deadExports(sources: ts.SourceFile[]): string[] {
  const used = new Map<string, Set<string>>()
  for (const source of sources)
    for (const one of importsOf(source)) remember(used, source.fileName, one)
  return sources.flatMap((source) =>
    exportsOf(source)
      .filter((one) => !isUsed(source, one, used.get(source.fileName)))
      .map(({ name, line }) => `${source.fileName}:${line}: nothing in src/ uses '${name}'`),
  )
}

function remember(used: Map<string, Set<string>>, from: string, one: Import): void {
  if (one.file === undefined || one.file === from) return
  const names = used.get(one.file) ?? new Set<string>()
  for (const name of one.names) names.add(name)
  used.set(one.file, names)
}

function isUsed(source: ts.SourceFile, one: Export, names: Set<string> | undefined): boolean {
  if (one.testing || `${source.fileName}#${one.name}` in EXCEPTIONS) return true
  if (names?.has(one.name) === true || names?.has('*') === true) return true
  return one.kind === 'type' && isMentionedAgain(source, one.name)
}

function isMentionedAgain(source: ts.SourceFile, name: string): boolean {
  let mentions = 0
  walk(source, (node) => {
    if (ts.isIdentifier(node) && node.text === name) mentions++
  })
  return mentions > 1
}

function exportsOf(source: ts.SourceFile): Export[] {
  return source.statements.flatMap((statement) =>
    namesOf(statement).map(({ name, kind }) => ({
      name,
      kind,
      testing: /@testing\b/.test(source.text.slice(statement.pos, statement.getStart())),
      line: source.getLineAndCharacterOfPosition(statement.getStart()).line + 1,
    })),
  )
}

function namesOf(statement: ts.Statement): { name: string; kind: Export['kind'] }[] {
  if (ts.isExportDeclaration(statement)) {
    const clause = statement.exportClause
    if (clause === undefined || !ts.isNamedExports(clause)) return []
    return clause.elements.map((one) => ({
      name: one.name.text,
      kind: statement.isTypeOnly || one.isTypeOnly ? 'type' : 'value',
    }))
  }
  if (ts.isExportAssignment(statement)) return [{ name: 'default', kind: 'value' }]
  if (!ts.canHaveModifiers(statement) || !isExported(statement)) return []
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => ({
      name: name.getText(),
      kind: 'value',
    }))
  if (ts.isTypeAliasDeclaration(statement) || ts.isInterfaceDeclaration(statement))
    return [{ name: statement.name.text, kind: 'type' }]
  if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement))
    return [{ name: statement.name?.text ?? 'default', kind: 'value' }]
  return []
}

function isExported(node: ts.HasModifiers): boolean {
  return (ts.getModifiers(node) ?? []).some((one) => one.kind === ts.SyntaxKind.ExportKeyword)
}
