import type { DocumentDirective, Event, ScalarEvent } from 'js-yaml'
import { EVENT_ID, SCALAR_STYLE, YAMLException } from 'js-yaml'
import { constructFromEvents, getScalarValue, parseEvents } from 'js-yaml'
import { quoted } from './problem.ts'

/**
 * YAML as a tree that still knows where each part stands, so that any later problem can name line and column.
 *
 * Made from js-yaml's event stream: its constructor would forget the offsets, stop at the first duplicate key and
 * follow aliases without bound. Nothing here throws: all that is wrong is listed.
 */
export type YamlNode = ScalarNode | ListNode | MapNode

type Base = {
  /** Where it begins in the source; for an empty value where its key begins. */
  offset: number
  /** Nodes in it, itself and those behind aliases included. */
  size: number
  /** A problem of it is already listed: whatever else seems wrong with its value is a consequence. */
  broken: boolean
}

export type ScalarNode = Base & {
  kind: 'scalar'
  value: string | number | boolean | null
  /** As written, escapes decoded. */
  text: string
  /** Without quotes, so that its text decides about its type. */
  plain: boolean
}

type ListNode = Base & { kind: 'list'; items: YamlNode[] }

type MapNode = Base & { kind: 'map'; entries: Map<string, MapEntry> }

export type MapEntry = { keyOffset: number; node: YamlNode }

type YamlProblem = { offset: number; message: string }

/** Aliases may repeat what stands once, but not grow the document beyond this ("billion laughs"). */
const MAX_NODES = 20_000

/** Far more than agent.yaml needs; the readers of the tree are recursive. */
const MAX_DEPTH = 50

/** The one document of the text. No root: there is none, or its syntax is broken. */
export function readYaml(text: string): { root?: YamlNode; problems: YamlProblem[] } {
  try {
    const events = parseEvents(text, { maxDepth: MAX_DEPTH })
    return new TreeReader(text, events).read()
  } catch (error) {
    return { problems: [syntaxProblem(error, text)] }
  }
}

function syntaxProblem(error: unknown, text: string): YamlProblem {
  // The exception's message quotes the source, which may hold a secret; its reason does not.
  if (!(error instanceof YAMLException)) return { offset: 0, message: 'cannot be read as YAML' }
  const offset = error.mark?.position ?? 0
  const line = text.slice(text.lastIndexOf('\n', offset - 1) + 1).split('\n', 1)[0] ?? ''
  // The brace of a variable opens a mapping in YAML's flow style.
  const hint = /[{[].*[^"'$]\$\{/.test(line) ? ' (between { } or [ ] a ${VAR} needs quotes)' : ''
  return { offset, message: `not valid YAML: ${error.reason}${hint}` }
}

class TreeReader {
  readonly #text: string
  readonly #events: Event[]
  readonly #anchors = new Map<string, YamlNode>()
  readonly #problems: YamlProblem[] = []
  #directives: DocumentDirective[] = []
  #next = 0
  #nodes = 0

  constructor(text: string, events: Event[]) {
    this.#text = text
    this.#events = events
  }

  read(): { root?: YamlNode; problems: YamlProblem[] } {
    const document = this.#take()
    if (document?.type !== EVENT_ID.DOCUMENT) return { problems: this.#problems }
    this.#directives = document.directives
    const root = this.#node(0)
    this.#take()
    if (this.#take() !== undefined) {
      const second = this.#events[this.#next]
      const offset = second === undefined ? this.#text.length : offsetOf(second, this.#text.length)
      this.#report(offset, 'a second YAML document begins here, want only one')
    }
    return { root, problems: this.#problems }
  }

  #take(): Event | undefined {
    return this.#events[this.#next++]
  }

  #report(offset: number, message: string): void {
    this.#problems.push({ offset, message })
  }

  /** `position`: where the node is if it has no text of its own. */
  #node(position: number): YamlNode {
    const event = this.#take()
    if (event === undefined) return nothing(position, true)
    const offset = offsetOf(event, position)
    if (event.type === EVENT_ID.ALIAS) return this.#alias(offset, this.#slice(event))
    const node = this.#content(event, offset)
    this.#nodes += 1
    if (event.type !== EVENT_ID.DOCUMENT && event.type !== EVENT_ID.POP && event.anchorStart >= 0) {
      this.#anchors.set(this.#slice(event), node)
    }
    return node
  }

  #slice(event: { anchorStart: number; anchorEnd: number }): string {
    return this.#text.slice(event.anchorStart, event.anchorEnd)
  }

  #content(event: Event, offset: number): YamlNode {
    switch (event.type) {
      case EVENT_ID.SCALAR:
        return this.#scalar(event, offset)
      case EVENT_ID.SEQUENCE:
        return this.#list(offset)
      case EVENT_ID.MAPPING:
        return this.#map(offset)
      case EVENT_ID.ALIAS:
      case EVENT_ID.DOCUMENT:
      case EVENT_ID.POP:
        return nothing(offset, true)
    }
  }

  /** An anchor is known only when its node is complete, so nothing can contain itself. */
  #alias(offset: number, anchor: string): YamlNode {
    const target = this.#anchors.get(anchor)
    if (target === undefined) {
      this.#report(offset, `*${anchor} refers to nothing that stands before it`)
      return nothing(offset, true)
    }
    this.#nodes += target.size
    if (this.#nodes > MAX_NODES) {
      // Reported once: what follows is cut off in the same way.
      if (this.#nodes - target.size <= MAX_NODES) {
        this.#report(offset, `*${anchor} makes the document larger than ${MAX_NODES} values`)
      }
      return nothing(offset, true)
    }
    return { ...target, offset }
  }

  #scalar(event: ScalarEvent, offset: number): ScalarNode {
    const text = event.valueStart < 0 ? '' : getScalarValue(this.#text, event)
    const plain = event.style === SCALAR_STYLE.PLAIN && event.tagStart < 0
    const base = { kind: 'scalar', text, plain, offset, size: 1 } as const
    try {
      const [value] = constructFromEvents(
        [
          {
            type: EVENT_ID.DOCUMENT,
            explicitStart: false,
            explicitEnd: false,
            directives: this.#directives,
          },
          event,
          { type: EVENT_ID.POP },
        ],
        { source: this.#text },
      )
      if (isScalar(value)) return { ...base, value, broken: false }
      this.#report(offset, 'this YAML tag is not used here')
    } catch (error) {
      const reason = error instanceof YAMLException ? error.reason : 'the value cannot be read'
      this.#report(offset, `not valid YAML: ${reason}`)
    }
    return { ...base, value: text, broken: true }
  }

  #list(offset: number): ListNode {
    const items: YamlNode[] = []
    let size = 1
    while (!this.#ends()) {
      const item = this.#node(offset)
      items.push(item)
      size += item.size
    }
    return { kind: 'list', items, offset, size, broken: false }
  }

  #map(offset: number): MapNode {
    const entries = new Map<string, MapEntry>()
    let size = 1
    while (!this.#ends()) {
      const key = this.#node(offset)
      const node = this.#node(key.offset)
      size += key.size + node.size
      if (key.broken) continue
      if (key.kind !== 'scalar')
        this.#report(key.offset, 'a key must be a word, not a list or section')
      else if (entries.has(key.text)) this.#report(key.offset, `duplicate key ${quoted(key.text)}`)
      else entries.set(key.text, { keyOffset: key.offset, node })
    }
    return { kind: 'map', entries, offset, size, broken: false }
  }

  /** Takes the event that closes a collection. */
  #ends(): boolean {
    const event = this.#events[this.#next]
    if (event !== undefined && event.type !== EVENT_ID.POP) return false
    this.#next += 1
    return true
  }
}

/** The first character that belongs to the node: of its tag, anchor, opening quote or value. */
function offsetOf(event: Event, otherwise: number): number {
  const starts = 'tagStart' in event ? [event.tagStart, event.anchorStart - 1] : []
  if (event.type === EVENT_ID.SCALAR) {
    const quoted =
      event.style === SCALAR_STYLE.SINGLE_QUOTED || event.style === SCALAR_STYLE.DOUBLE_QUOTED
    starts.push(event.valueStart - (quoted ? 1 : 0))
  } else if (event.type === EVENT_ID.ALIAS) starts.push(event.anchorStart - 1)
  else if ('start' in event) starts.push(event.start)
  const known = starts.filter((start) => start >= 0)
  return known.length === 0 ? otherwise : Math.min(...known)
}

function isScalar(value: unknown): value is ScalarNode['value'] {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

function nothing(offset: number, broken: boolean): ScalarNode {
  return { kind: 'scalar', value: null, text: '', plain: true, offset, size: 1, broken }
}
