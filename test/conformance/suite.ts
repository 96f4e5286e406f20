/**
 * What src/runtime promises, checked inside the runtime that runs this program (scripts/conformance.ts bundles it and
 * starts it in each). With an argument it is one of its own helpers: see checks/helpers.ts.
 */
import process from 'node:process'
import { runChecks } from './checks/harness.ts'
import { checkFiles } from './checks/files.ts'
import { runHelper } from './checks/helpers.ts'
import { checkHttp } from './checks/http.ts'
import { checkListen } from './checks/listen.ts'
import { checkRest } from './checks/rest.ts'

const [helper, ...args] = process.argv.slice(2)
if (helper === undefined) {
  checkFiles()
  checkHttp()
  checkListen()
  checkRest()
  await runChecks()
} else {
  await runHelper(helper, args)
}
