import { registerCheck } from './cli/check.ts'
import { registerConnect } from './cli/connect.ts'
import { registerControl } from './cli/control.ts'
import { registerHooks } from './cli/hooks.ts'
import { registerInstall } from './cli/install.ts'
import { registerPlan } from './cli/plan.ts'
import { registerDev } from './cli/dev.ts'
import { buildProgram, runProgram } from './cli/program.ts'
import { registerRun } from './cli/run.ts'
import { registerRuntimeDirector } from './cli/runtime-director.ts'
import { registerSchema } from './cli/schema.ts'
import { registerStatus } from './cli/status.ts'
import { registerVersion } from './cli/version.ts'
import { argv } from './runtime/process.ts'

const program = buildProgram([
  registerRun,
  registerDev,
  registerConnect,
  registerCheck,
  registerStatus,
  registerPlan,
  registerControl,
  registerInstall,
  registerRuntimeDirector,
  registerHooks,
  registerSchema,
  registerVersion,
])

await runProgram(program, argv())
