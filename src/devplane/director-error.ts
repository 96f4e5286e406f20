import { GraphQLError, type GraphQLFormattedError } from 'graphql'

/** Codes of the Director with their names (reference/director.md §8). */
export const DIRECTOR_ERRORS = {
  10: 'InternalError',
  11: 'UnknownError',
  20: 'NotFound',
  21: 'NotUnique',
  22: 'InvalidData',
  23: 'InsufficientScopes',
  24: 'TenantRequired',
  25: 'TenantNotFound',
  26: 'Unauthorized',
  27: 'InvalidOperation',
  28: 'OperationTimeout',
  29: 'EmptyData',
  30: 'InconsistentData',
  31: 'NotUniqueName',
  32: 'ConcurrentOperation',
  33: 'InvalidStatusCondition',
  34: 'CannotUpdateObjectInManyBundles',
  35: 'ConcurrentUpdate',
  36: 'EmptyParentID',
  37: 'NoScheduledOperations',
  38: 'OperationInProgress',
} as const

export type DirectorCode = keyof typeof DIRECTOR_ERRORS

/** A failure as the Director reports it: text and code, nothing else. */
export class DirectorError extends Error {
  override readonly name = 'DirectorError'
  readonly code: DirectorCode

  constructor(code: DirectorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** `Invalid data [reason=…]`, code 22. */
export function invalidData(reason: string): DirectorError {
  return new DirectorError(22, `Invalid data [reason=${reason}]`)
}

/** `Object not found [ID=…; object=…]`, code 20. */
export function notFound(object: string, id: string): DirectorError {
  return new DirectorError(20, `Object not found [ID=${id}; object=${object}]`)
}

/** `The operation is not allowed [reason=…]`, code 27. */
export function invalidOperation(reason: string): DirectorError {
  return new DirectorError(27, `The operation is not allowed [reason=${reason}]`)
}

/** What the Director did not foresee, code 10: its own text, to which the field and an error id are added. */
export function internalError(reason: string): DirectorError {
  return new DirectorError(10, reason)
}

/** The message of code 10: nothing is kept back, and behind the id the operators of Compass find it in their log. */
export function internalMessage(reason: string): string {
  return `Internal Server Error [errorID=${crypto.randomUUID()}, reason: ${reason}]`
}

/** A scope is missing. Nothing behind `actual=` means that the caller was not recognised at all. */
export function insufficientScopes(
  actual: readonly string[],
  required: readonly string[],
): DirectorError {
  return new DirectorError(
    23,
    `insufficient scopes provided [actual=${actual.join(';')}; required=${required.join(';')}]`,
  )
}

/** An entry of `errors` as the Director writes it: message, path and its own extensions, no locations. */
export function formatDirectorError(error: GraphQLError): GraphQLFormattedError {
  const { originalError, path } = error
  const known =
    originalError instanceof DirectorError ? originalError : internalError(error.message)
  const field = path?.join('.') ?? ''
  const { message, code } = known
  return {
    message: code === 10 ? internalMessage(`input: ${field} ${message}`) : message,
    ...(path === undefined ? {} : { path }),
    extensions: { error: DIRECTOR_ERRORS[code], error_code: code },
  }
}
