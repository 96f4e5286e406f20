/** Serves on a Unix socket until it is killed. */
import { listen } from '../../src/runtime/listen.ts'
import { echo } from './servers.ts'

await listen(echo, { socket: process.argv[2] ?? '', mode: 0o600 })
process.stdout.write('ready\n')
