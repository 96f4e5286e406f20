/** Takes the lock of a file, says `held` or `busy`, and keeps it when it is told to stay. */
import { acquireLock } from '../../src/runtime/lock.ts'

const [path = '', stay] = process.argv.slice(2)
const lock = await acquireLock(path)
process.stdout.write(lock ? 'held\n' : 'busy\n')
if (stay !== undefined) setInterval(() => undefined, 60_000)
