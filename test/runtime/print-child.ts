/** Writes so many characters to stdout. */
import { stdout } from '../../src/runtime/process.ts'

const count = Number(process.argv[2])
for (let left = count; left > 0; left -= 100_000) stdout('x'.repeat(Math.min(left, 100_000)))
