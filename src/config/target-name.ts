import { matching } from './fields.ts'

/** Names end up in marks, labels and metrics of other systems: all of them take this. */
export const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** What to tell a person who wrote something else. */
export const WANT_NAME = 'a name of lower-case letters, digits and -, at most 63'

/** The `name` that every kind of target has. */
export function targetName() {
  return matching('Name of the target, unique; its kind when missing.', NAME, WANT_NAME, ['files'])
}
