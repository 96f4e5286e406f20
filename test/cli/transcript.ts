/**
 * Transcripts: what a person types and what the program answers, as text files that read like a terminal.
 *
 *     # a remark
 *     file agent.yaml          the lines below it that are indented by two blanks are its content
 *       version: 1
 *     $ agent check            standard output and error together, up to the next line that begins with $, # or file
 *     agent.yaml is fine: <what>
 *     [exit 2]                 0 when missing
 *
 * `<name>` stands for some text in a line, a line that is `<…>` for any number of lines. `$ start plane`, `$ start agent`,
 * `$ stop agent` and `$ give token` set the scene; {@link Scene} carries them out.
 */
export type Step =
  | { kind: 'file'; name: string; content: string }
  /** `from`, `to`: the lines of the file that hold what is expected. */
  | { kind: 'command'; line: string; expected: string; from: number; to: number }

export function parseTranscript(text: string): Step[] {
  const steps: Step[] = []
  let open: Step | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const started = startOf(line, index)
    if (started !== undefined) {
      open = started === 'remark' ? undefined : started
      if (open !== undefined) steps.push(open)
    } else if (open?.kind === 'file') {
      if (line !== '') open.content += `${line.replace(/^ {2}/, '')}\n`
    } else if (open !== undefined && line !== '') {
      // Blank lines at the end belong to nobody.
      const blank = '\n'.repeat(index - open.to)
      open.expected += `${open.expected === '' ? '' : '\n'}${blank}${line}`
      open.to = index + 1
    }
  }
  return steps
}

function startOf(line: string, index: number): Step | 'remark' | undefined {
  if (line.startsWith('# ')) return 'remark'
  if (line.startsWith('$ '))
    return { kind: 'command', line: line.slice(2), expected: '', from: index + 1, to: index + 1 }
  const name = /^file (\S+)$/.exec(line)?.[1]
  return name === undefined ? undefined : { kind: 'file', name, content: '' }
}

/** Words of a command line, with single or double quotes around those that hold blanks. */
export function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain ?? '',
  )
}

/** As it would stand in a transcript. */
export function transcribed(output: string, code: number | null): string {
  const text = output.replace(/[ \t]+$/gm, '').trimEnd()
  const exit = code === 0 ? '' : `[exit ${code ?? 'by a signal'}]`
  return [text, exit].filter((part) => part !== '').join('\n')
}

export function fits(expected: string, actual: string): boolean {
  const pattern = expected
    .split('\n')
    .map((line) => (line === '<…>' ? '(?:.*\n)*?.*' : patternOf(line)))
    .join('\n')
  return new RegExp(`^${pattern}$`).test(actual)
}

function patternOf(line: string): string {
  const parts = line.split(/<[a-z][a-z -]*>/)
  return parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('.+?')
}
