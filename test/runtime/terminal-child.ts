/** Prints which of its three streams is a terminal. */
import { isTerminal, stdout } from '../../src/runtime/process.ts'

stdout(`${isTerminal('stdin')} ${isTerminal('stdout')} ${isTerminal('stderr')}\n`)
