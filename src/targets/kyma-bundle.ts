import type { Application, Auth, Bundle } from '../model/application.ts'
import type { Problem } from '../model/problem.ts'
import type { SourceProblem } from '../model/target.ts'
import { NO_CREDENTIALS } from './kyma-application.ts'
import type { Access, Credentials } from './kyma-application.ts'
import { isLabelValue, isObjectName, secretName } from './kyma-names.ts'
import type { SecretPart } from './kyma-names.ts'
import { bundleTaken, idInvalid, incomplete, unknownNow, unsupported } from './kyma-problems.ts'
import type { ApplicationPlace } from './kyma-place.ts'
import { credentialEntries, parameterEntries, SecretWish } from './kyma-secret.ts'
import type { SecretEntry } from './kyma-secret.ts'

export type RenderedBundle = {
  bundleId: string
  access: Access
  wishes: SecretWish[]
  problems: SourceProblem[]
  /** False: made from what is published now too. */
  lasting: boolean
}

/** What one bundle needs: how its APIs are reached, and the Secrets for that. */
export function bundleOf(
  application: Application,
  bundle: Bundle,
  place: ApplicationPlace,
): RenderedBundle {
  const { id, auth, authMissingSince } = bundle
  const published = place.seen?.published.get(id)
  const result: RenderedBundle = {
    bundleId: id,
    access: { credentials: NO_CREDENTIALS },
    wishes: [],
    problems: [],
    lasting: true,
  }
  const withhold = (problem: Problem): void => {
    const owner = { slice: 'applications' as const, application: application.id, bundle: id }
    result.problems.push({ owner, problem, withheld: true })
    result.lasting = false
  }
  if (auth === undefined && authMissingSince !== undefined) {
    result.lasting = false
    if (published === undefined && !place.left.has(id)) return result
    if (published !== undefined) result.access = published
    withhold(unknownNow(application, bundle))
    return result
  }
  const wish = (part: SecretPart, make: () => SecretEntry[] | undefined): string | undefined => {
    if (make() === undefined) return undefined
    const name = secretName(part, place.name, id)
    const refused = refusal(application, bundle, name, place)
    if (refused !== undefined) {
      withhold(refused)
      return undefined
    }
    const ids = { part, application: place.name, bundleId: id }
    result.wishes.push(new SecretWish(application.name, ids, () => make() ?? []))
    return name
  }
  const useless = uselessness(application, bundle)
  if (useless !== undefined) {
    withhold(useless)
    // What is published works, perhaps; nothing does not.
    if (published !== undefined) result.access = published
  }
  const secret = wish('credentials', () => credentialEntries(auth))
  if (secret !== undefined) result.access = { credentials: credentialsOf(auth, secret) }
  const parameters = wish('parameters', () => parameterEntries(auth))
  const { credentials } = result.access
  result.access = parameters === undefined ? { credentials } : { credentials, parameters }
  return result
}

function credentialsOf(auth: Auth | undefined, name: string): Credentials {
  const { credential, csrf } = auth ?? {}
  return {
    type: credential?.type === 'oauth' ? 'OAuth' : 'Basic',
    secretName: name,
    ...(credential?.type === 'oauth'
      ? { authenticationUrl: credential.tokenUrl.toWellFormed() }
      : {}),
    ...(csrf === undefined ? {} : { csrfInfo: { tokenEndpointURL: csrf.tokenUrl.toWellFormed() } }),
  }
}

/** Why the credentials that are there are none for the gateway. */
function uselessness(application: Application, bundle: Bundle): Problem | undefined {
  const credential = bundle.auth?.credential
  switch (credential?.type) {
    case undefined:
      return undefined
    case 'certificate_oauth':
      return unsupported(application, bundle, 'OAuth with a certificate')
    case 'unknown':
      return unsupported(application, bundle, credential.typename)
    case 'basic':
    case 'oauth':
      return credentialEntries(bundle.auth) ? undefined : incomplete(application, bundle)
  }
}

/** Why a bundle can have no Secret of this name. */
function refusal(
  application: Application,
  bundle: Bundle,
  name: string,
  { lost }: ApplicationPlace,
): Problem | undefined {
  if (lost.has(bundle.id)) return bundleTaken(application, bundle)
  if (isLabelValue(bundle.id) && isObjectName(name)) return undefined
  return idInvalid(application, bundle)
}
