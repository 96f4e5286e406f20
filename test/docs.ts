/** What the documents say, for the tests that compare it with what is there. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './source.ts'

const NOT_OURS = new Set(['node_modules', 'dist', '.git', '.cache', '.runtime-agent-dev'])

/** Paths relative to the root of all Markdown files. */
export function documents(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => !NOT_OURS.has(entry.name))
    .flatMap((entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) return documents(path)
      return path.endsWith('.md') ? [path] : []
    })
    .sort()
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Targets of `[text](target)` outside of code, without those with a scheme. */
export function linksIn(markdown: string): string[] {
  const links = withoutCode(markdown).matchAll(/\]\(([^()\s]+)\)/g)
  return [...links].map(([, target = '']) => target).filter((one) => !/^[a-z]+:/i.test(one))
}

/** The anchors of a document's headings, as code hosts make them. */
export function anchorsIn(markdown: string): string[] {
  const headings = markdown.replaceAll(/^```[^]*?^```/gm, '').matchAll(/^#+ +(.+?) *$/gm)
  return [...headings].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-'),
  )
}

/** Everything that is set as code: spans, and the lines of fenced blocks. */
export function codeIn(markdown: string): string[] {
  const fenced = [...markdown.matchAll(/^```[^\n]*\n([^]*?)^```/gm)]
  const spans = markdown.replaceAll(/^```[^]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)
  return [
    ...fenced.flatMap(([, text = '']) => text.split('\n')),
    ...[...spans].map(([, text = '']) => text),
  ]
}

/** The npm scripts that a document's code calls: `npm test`, `npm run check -- --fast`. */
export function npmScriptsIn(markdown: string): string[] {
  return codeIn(markdown).flatMap((code) =>
    [...code.matchAll(/\bnpm (?:run ([\w:-]+)|(test|start)\b)/g)].map(
      ([, run, short]) => run ?? short ?? '',
    ),
  )
}

/** The commands that a document's code gives to the agent: `agent status --json` gives `status`. */
export function agentCommandsIn(markdown: string): string[] {
  return codeIn(markdown).flatMap((code) =>
    [
      ...code
        .replace(/\s#.*/, '')
        .matchAll(/(?:^|[\s/$#])agent(?:-linux-x64)? ([a-z][a-z-]*)\b(?![:.=])/g),
    ].map(([, command = '']) => command),
  )
}

/** Rows of all tables whose header begins with these words: cells without back-quotes. */
export function tableRows(markdown: string, ...header: string[]): string[][] {
  const rows: string[][] = []
  let inside = false
  for (const line of markdown.split('\n')) {
    const cells = line.startsWith('|') ? line.slice(1, -1).split('|').map(plain) : undefined
    if (cells === undefined) inside = false
    else if (header.every((word, i) => cells[i] === word)) inside = true
    else if (inside && !/^-+$/.test(cells[0] ?? '')) rows.push(cells)
  }
  return rows
}

function plain(cell: string): string {
  return cell.trim().replaceAll('`', '')
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`\n]+`/g, '')
}
