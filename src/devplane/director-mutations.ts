import type { GraphQLSchema } from 'graphql'
import { DirectorError, internalError, notFound } from './director-error.ts'
import {
  applicationInScenario,
  authorized,
  checkUuid,
  type DirectorContext,
} from './director-resolvers.ts'
import { addResolvers } from './graphql.ts'
import {
  instanceAuthRow,
  requestCreation,
  requestDeletion,
  type InstanceAuthRequest,
} from './instance-auth.ts'
import { labelsOf, recordOf, runtimeById } from './runtimes.ts'
import type { RuntimeRecord } from './store.ts'

type LabelArguments = { runtimeID: string; key: string }

/** Gives the mutations that runtimes may call their resolvers. */
export function addMutations(schema: GraphQLSchema): void {
  addResolvers(schema, 'Mutation', mutations)
}

function setRuntimeLabel(
  _source: unknown,
  args: LabelArguments & { value: unknown },
  context: DirectorContext,
): { key: string; value: unknown } {
  authorized(context, 'runtime:write')
  const { key, value } = args
  checkLabelKey(key)
  const { record } = runtimeOf(args.runtimeID, context)
  if (key === 'scenarios') {
    throw internalError(`label with key ${key} cannot be set explicitly`)
  }
  return context.store.change(() => {
    record.labels[key] = value
    return { key, value }
  })
}

function deleteRuntimeLabel(
  _source: unknown,
  args: LabelArguments,
  context: DirectorContext,
): { key: string; value: unknown } {
  authorized(context, 'runtime:write')
  const { key, runtimeID } = args
  const { runtime, record } = runtimeOf(runtimeID, context)
  const labels = labelsOf(runtime, record)
  if (!Object.hasOwn(labels, key)) throw notFound('label', key)
  return context.store.change(() => {
    record.labels[key] = null
    return { key, value: labels[key] }
  })
}

function runtimeOf(
  id: string,
  context: DirectorContext,
): { runtime: NonNullable<ReturnType<typeof runtimeById>>; record: RuntimeRecord } {
  checkUuid(id, 'Runtime')
  const runtime = runtimeById(context.catalog, id)
  if (runtime === undefined) throw notFound('runtime', id)
  return { runtime, record: recordOf(context.store, id, context.now) }
}

/** Label keys are words; what is wrong with one stands where the Director writes it. */
function checkLabelKey(key: string): void {
  if (key === '') throw new DirectorError(22, 'Invalid data LabelInput [key=cannot be blank]')
  if (key.length > 256) {
    throw new DirectorError(
      22,
      'Invalid data LabelInput [key=the length must be between 1 and 256]',
    )
  }
  if (!/^[a-zA-Z0-9_]*$/.test(key)) {
    throw new DirectorError(22, 'Invalid data LabelInput [key=must be in a valid format]')
  }
}

function requestBundleInstanceAuthCreation(
  _source: unknown,
  args: { bundleID: string; in: InstanceAuthRequest },
  context: DirectorContext,
): Record<string, unknown> {
  const caller = authorized(context, 'runtime:write')
  checkUuid(args.bundleID, 'Bundle')
  const bundle = context.catalog.bundles.get(args.bundleID)
  if (bundle === undefined) throw notFound('bundle', args.bundleID)
  applicationInScenario(context, caller, bundle.application)
  const made = requestCreation(context.store, bundle, {
    request: args.in,
    caller,
    now: context.now,
  })
  return instanceAuthRow(made)
}

function requestBundleInstanceAuthDeletion(
  _source: unknown,
  args: { authID: string },
  context: DirectorContext,
): Record<string, unknown> {
  const caller = authorized(context, 'runtime:write')
  checkUuid(args.authID, 'BundleInstanceAuth')
  const auth = context.store.state.instanceAuths.find(({ id }) => id === args.authID)
  if (auth === undefined) throw notFound('bundleInstanceAuth', args.authID)
  const bundle = context.catalog.bundles.get(auth.bundle)
  if (bundle === undefined) throw notFound('bundle', auth.bundle)
  applicationInScenario(context, caller, bundle.application)
  const deleted = requestDeletion(context.store, auth, {
    hasDefault: bundle.defaultAuth !== undefined,
    now: context.now,
  })
  return instanceAuthRow(deleted)
}

const mutations = {
  setRuntimeLabel,
  deleteRuntimeLabel,
  requestBundleInstanceAuthCreation,
  requestBundleInstanceAuthDeletion,
}
