import * as v from 'valibot'
import { number, window } from './fields.ts'
import { section } from './section.ts'

/** When the certificate is renewed (design §6 Renewal). */
export const renewalSection = v.pipe(
  section({
    threshold: v.optional(
      number(
        'Share of its life that is left when the certificate is renewed. Below 0.05 the agent renews at once, windows or not.',
        [0.05, 0.95],
        'any',
      ),
      0.3,
    ),
    windows: v.optional(
      v.pipe(
        v.array(
          window('Days, times and UTC; without days every day.', ['Sat 02:00-04:00 UTC']),
          'a list of windows such as "Sat 02:00-04:00 UTC"',
        ),
        v.description('When renewals may happen; none: at any time. Times are UTC.'),
        v.metadata({
          examples: [
            ['Sat 02:00-04:00 UTC'],
            ['Mon-Fri 22:00-05:00 UTC', 'Sat,Sun 00:00-24:00 UTC'],
          ],
        }),
      ),
      [],
    ),
  }),
  v.description('When the certificate is renewed.'),
)
