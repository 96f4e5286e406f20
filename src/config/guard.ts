import * as v from 'valibot'
import { DAY, MINUTE } from '../model/time.ts'
import { choice, duration, number } from './fields.ts'
import { section, wordOr } from './section.ts'

const YEAR = 365 * DAY

const ordinary = v.pipe(
  section({
    count: v.optional(number('So many applications may go in one pass …', [0, 100_000]), 5),
    percent: v.optional(
      number('… or this part of what the agent owns, if that is more.', [0, 100]),
      20,
    ),
  }),
  v.description('Deletions that are done without asking.'),
)

const massDeletion = v.pipe(
  wordOr(
    choice('hold: wait for agent approve. off: never wait.', ['hold', 'off']),
    section({
      after: duration('Go on without approval when the deletions were held for so long.', [
        MINUTE,
        YEAR,
      ]),
    }),
    'hold, off or {after: 24h}',
  ),
  v.description(
    'What happens to more deletions than that: hold waits for agent approve, {after: 24h} for that or so long, off does not wait.',
  ),
  v.metadata({ examples: ['hold', { after: '24h' }] }),
)

/** What may be deleted without a person (design §6 Guard). */
export const guardSection = v.pipe(
  section({
    ordinary: v.optional(ordinary, {}),
    massDeletion: v.optional(massDeletion, 'hold'),
    credentialsGrace: v.optional(
      duration('How long credentials are kept that the Director no longer shows.', [0, YEAR]),
      '24h',
    ),
  }),
  v.description('What keeps a fault elsewhere from emptying this runtime.'),
)
