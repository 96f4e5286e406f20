/** Becomes a user without rights and reports how four operations in a directory of root fail. */
import { join } from 'node:path'
import { toAgentError } from '../../src/model/problem.ts'
import { readText, writeAtomic } from '../../src/runtime/files.ts'
import { listen } from '../../src/runtime/listen.ts'
import { acquireLock } from '../../src/runtime/lock.ts'

const directory = process.argv[2] ?? ''
process.setgid?.(65534)
process.setuid?.(65534)

async function told(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (thrown) {
    const { code, message } = toAgentError(thrown)
    return `${code}: ${message}`
  }
}

const report = {
  write: await told(writeAtomic(join(directory, 'file'), 'x')),
  read: await told(readText(join(directory, 'secret'))),
  lock: await told(acquireLock(join(directory, 'lock'))),
  listen: await told(listen(() => new Response(), { socket: join(directory, 's'), mode: 0o600 })),
}
process.stdout.write(JSON.stringify(report))
