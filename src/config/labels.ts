import * as v from 'valibot'
import { serviceUrl } from './fields.ts'
import { section } from './section.ts'

/** Labels that Compass gives a meaning, with what to do instead of setting them by hand. */
const RESERVED = new Map([
  ['scenarios', 'another key: Compass keeps the formations in scenarios'],
  ['isNormalized', 'another key: isNormalized changes the names of all applications'],
  ['runtime_eventServiceUrl', 'labels.eventGatewayUrl instead'],
  ['runtime_consoleUrl', 'labels.consoleUrl instead'],
])

const WANT_KEY = 'a label key of letters, digits and _, at most 256'

const labelKey = v.pipe(
  v.string(WANT_KEY),
  v.regex(/^[a-zA-Z0-9_]{1,256}$/, WANT_KEY),
  v.check(
    (key) => !RESERVED.has(key),
    ({ input }) => RESERVED.get(input) ?? WANT_KEY,
  ),
)

const WANT_VALUE = 'any value but null'

const labelValue = v.pipe(
  v.unknown(),
  v.description('Text, number, true or false, list or section.'),
  v.check(isJson, WANT_VALUE),
)

/** What the agent tells Compass about its runtime (reference/director.md §7). */
export const labelsSection = v.pipe(
  section({
    eventGatewayUrl: v.exactOptional(
      serviceUrl('URL of the Event Gateway, label runtime_eventServiceUrl.', [
        'https://gateway.example',
      ]),
    ),
    consoleUrl: v.exactOptional(
      serviceUrl('URL of the console, label runtime_consoleUrl.', ['https://console.example']),
    ),
    custom: v.optional(
      v.pipe(
        v.record(labelKey, labelValue, 'a section of label keys and values'),
        v.description(
          'Further labels. Those that Compass uses itself (scenarios, isNormalized) are refused.',
        ),
        v.examples([{ team: 'orders', region: 'eu10' }]),
      ),
      {},
    ),
  }),
  v.description('What Compass is told about the runtime; sent only when it differs.'),
)

/** Labels travel as JSON, which has no infinity; a null would not be a value. */
function isJson(value: unknown): boolean {
  if (value === null) return false
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object') return true
  return Object.values(value).every((member) => member === null || isJson(member))
}
