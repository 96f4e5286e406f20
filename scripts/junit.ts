/** Reads what `bun test --reporter=junit` writes: only what the end of a test run needs, of this one dialect of XML. */

/** One test. `name` is the path through its `describe`s, parted by ` > `; `title` its own name. */
export type TestCase = {
  file: string
  line?: number
  name: string
  title: string
  outcome: 'passed' | 'failed' | 'skipped'
}

/** The tests of a report in their order. */
export function parseJunit(xml: string): TestCase[] {
  const cases: TestCase[] = []
  for (const [, attributes = '', closed, body = ''] of xml.matchAll(
    /<testcase((?:\s+[\w-]+="[^"]*")*)\s*(?:(\/)>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const of = attributesOf(attributes)
    const title = of.get('name') ?? ''
    const around = of.get('classname') ?? ''
    const line = of.get('line')
    cases.push({
      file: of.get('file') ?? '',
      ...(line === undefined ? {} : { line: Number(line) }),
      title,
      name: around === '' ? title : `${around} > ${title}`,
      outcome: closed === undefined ? outcomeOf(body) : 'passed',
    })
  }
  return cases
}

function outcomeOf(body: string): TestCase['outcome'] {
  if (/<(failure|error)\b/.test(body)) return 'failed'
  return /<skipped\b/.test(body) ? 'skipped' : 'passed'
}

function attributesOf(text: string): Map<string, string> {
  const found = [...text.matchAll(/([\w-]+)="([^"]*)"/g)]
  return new Map(found.map(([, name = '', value = '']) => [name, unescape(value)]))
}

const NAMED: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function unescape(text: string): string {
  return text.replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(String(hex), 16))
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal))
    return NAMED[String(name)] ?? whole
  })
}
