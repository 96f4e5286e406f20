/** Writes a file again and again until it is killed. */
import { writeAtomic } from '../../src/runtime/files.ts'

const path = process.argv[2] ?? ''
process.stdout.write('ready\n')
for (;;) {
  await writeAtomic(path, 'b'.repeat(300_000))
  await writeAtomic(path, 'a'.repeat(300_000))
}
