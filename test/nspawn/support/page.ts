/** What a document prints for a person to type, and that person. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../scripts/repository.ts'
import { IN_STEP } from './host.ts'
import type { Host } from './host.ts'

/** The part of a page below a heading, to the next heading. */
export function section(page: string, heading: string): string {
  const [, rest] = readFileSync(join(ROOT, page), 'utf8').split(`\n${heading}\n`)
  if (rest === undefined) throw new Error(`${page} has no heading '${heading}'`)
  return rest.split(/^#+ /m, 1)[0]!
}

/** The lines of the blocks of commands below a heading. */
export function blocks(page: string, heading: string): string[][] {
  const found = section(page, heading).matchAll(/^```(?:sh)?\n([^`]*)^```$/gm)
  return [...found].map(([, block = '']) => block.split('\n').filter((line) => line !== ''))
}

/** Types lines in a directory, and the token where it is asked for; fails when one does not end well. */
export async function follow(host: Host, lines: readonly string[], directory = ''): Promise<void> {
  for (const line of lines) {
    const command = directory === '' ? line : `cd ${directory}; ${line}`
    // As long as it takes to read the line before.
    if (line.includes('systemctl status')) await host.status(IN_STEP)
    const printed = await type(host, command)
    const promised = /# (Status: ".*")$/.exec(line)?.[1]
    if (promised !== undefined && !general(printed).includes(general(promised)))
      throw new Error(`${page(line)} promises ${promised} and prints\n${printed}`)
  }
}

async function type(host: Host, command: string): Promise<string> {
  if (command.includes('/dev/stdin')) return host.must(command, { stdin: await host.token() })
  if (!command.includes('--token-stdin')) return host.must(command)
  const token = await host.token()
  const answer = { prompt: 'token (not shown): ', text: `${token}\n` }
  const { code, out } = await host.inTerminal(command, answer)
  if (code !== 0) throw new Error(`${page(command)} ended with ${code}:\n${out}`)
  if (out.includes(token.slice(0, 40))) throw new Error(`${page(command)} shows the token`)
  return out
}

const page = (line: string): string => `what is printed as '${line}'`

const general = (text: string): string => text.replace(/\d+/g, 'N')
