import * as v from 'valibot'
import type { Duration } from '../model/time.ts'
import { isLoopback, parseAddress } from './address.ts'
import { DURATION, WANT_DURATION, parseDuration, writeDuration } from './duration.ts'
import { absolute } from './path.ts'
import { WANT_WINDOW, WINDOW, parseWindow } from './window.ts'

/**
 * The kinds of values that agent.yaml is made of. Each takes what the field is for (`about`, for the reference and the
 * JSON Schema); its messages say what is wanted (see section.ts).
 *
 * Descriptions stand before transformations: the JSON Schema describes what is written, not what becomes of it.
 */

const UNPRINTABLE = /\p{Cc}/u

/** Any text of one line that is not empty. */
export function text(about: string, want: string, examples: string[] = []) {
  return v.pipe(
    v.string(want),
    v.description(about),
    v.examples(examples),
    v.nonEmpty(want),
    v.check((value) => !UNPRINTABLE.test(value) && value.trim() === value, want),
  )
}

/** A text that matches a pattern. */
export function matching(about: string, pattern: RegExp, want: string, examples: string[] = []) {
  return v.pipe(v.string(want), v.description(about), v.examples(examples), v.regex(pattern, want))
}

/** What a parser makes of the text; undefined from it is a problem. */
function parsed<Value>(parse: (text: string) => Value | undefined, want: string) {
  return v.rawTransform<string, Value>(({ dataset, addIssue, NEVER }) => {
    const value = parse(dataset.value)
    if (value !== undefined) return value
    addIssue({ message: want })
    return NEVER
  })
}

/** One of a few words. `later`: words that a coming version will know. */
export function choice<const Words extends readonly [string, ...string[]]>(
  about: string,
  words: Words,
  later: readonly string[] = [],
) {
  const want = words.join(', ').replace(/, ([^,]*)$/, ' or $1')
  return v.pipe(
    v.picklist(words, ({ input }) => wantUnlessLater(want, input, later)),
    v.description(about),
  )
}

/** What is wanted, and that what was found is a word of a coming version. */
export function wantUnlessLater(want: string, input: unknown, later: readonly string[]): string {
  const known = typeof input === 'string' && later.includes(input)
  return known ? `${want} (${input} is not in this version yet)` : want
}

/** `true` or `false`. */
export function flag(about: string) {
  return v.pipe(v.boolean('true or false'), v.description(about))
}

/** A number between two others, both included; whole unless `step` says otherwise. */
export function number(
  about: string,
  [min, max]: [number, number],
  step: 'whole' | 'any' = 'whole',
) {
  const want = `a ${step === 'whole' ? 'whole ' : ''}number from ${min} to ${max}`
  return v.pipe(
    v.number(want),
    v.description(about),
    v.minValue(min, want),
    v.maxValue(max, want),
    v.check((value) => step === 'any' || Number.isInteger(value), want),
  )
}

/** A length of time; becomes milliseconds. */
export function duration(about: string, [min, max]: [Duration, Duration]) {
  const range = `from ${writeDuration(min)} to ${writeDuration(max)}`
  const want = `${WANT_DURATION}, ${range}`
  return v.pipe(
    v.string(want),
    v.title('length of time'),
    v.description(`${about} ${range[0]?.toUpperCase()}${range.slice(1)}.`),
    v.regex(DURATION, want),
    parsed(parseDuration, want),
    v.minValue(min, want),
    v.maxValue(max, want),
  )
}

/** A file or directory; becomes absolute. */
export function path(about: string, base: string, want: string, examples: string[] = []) {
  return v.pipe(
    v.string(want),
    v.title('path'),
    v.description(about),
    v.examples(examples),
    v.nonEmpty(want),
    v.check((value) => !UNPRINTABLE.test(value), want),
    v.check((value) => !value.startsWith('~'), `${want} (~ is not expanded)`),
    v.transform((value) => absolute(value, base)),
    v.check((value) => value !== '/', `${want} other than /`),
  )
}

/** An address of a service: https, or http on this machine; nothing secret in it. */
export function serviceUrl(about: string, examples: string[] = []) {
  return url(about, examples, 'an https:// URL (http:// only for this machine)', isSafeScheme)
}

/** An address that workloads of the cluster use: http is common there; nothing secret in it. */
export function clusterUrl(about: string, examples: string[] = []) {
  const isHttp = ({ protocol }: URL): boolean => ['http:', 'https:'].includes(protocol)
  return url(about, examples, 'an http:// or https:// URL', isHttp)
}

function url(about: string, examples: string[], want: string, isAllowed: (url: URL) => boolean) {
  return v.pipe(
    v.string(want),
    v.title('URL'),
    v.description(about),
    v.examples(examples),
    v.url(want),
    v.check((value) => isAllowed(new URL(value)), want),
    v.check(
      (value) => hasNoCredentials(new URL(value)),
      'a URL without user, password and fragment',
    ),
  )
}

/** Whether {@link serviceUrl} would take it. */
export function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return isSafeScheme(url) && hasNoCredentials(url)
}

function isSafeScheme({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))
}

function hasNoCredentials({ username, password, hash }: URL): boolean {
  return username === '' && password === '' && hash === ''
}

/** When something may happen; becomes a {@link Window}. */
export function window(about: string, examples: string[]) {
  return v.pipe(
    v.string(WANT_WINDOW),
    v.title('window'),
    v.description(about),
    v.examples(examples),
    v.regex(WINDOW, WANT_WINDOW),
    parsed(parseWindow, WANT_WINDOW),
  )
}

/** Where to listen; `off` becomes undefined. */
export function listenAddress(about: string) {
  const want = 'an address such as 127.0.0.1:8090, or off'
  return v.pipe(
    v.string(want),
    v.title('address'),
    v.description(about),
    v.examples(['127.0.0.1:8090', '[::1]:8090', 'off']),
    parsed((value) => (value === 'off' ? value : parseAddress(value)), want),
    v.transform((value) => (value === 'off' ? undefined : value)),
  )
}
