import { formatSubject, type DistinguishedName } from '../identity/subject.ts'
import type { ConnectorContext } from './connector.ts'
import type { SubjectConstants } from './knobs.ts'
import type { Taken } from './knob-board.ts'
import { newToken } from './token.ts'

/** Where the plane answers. */
export type PlaneUrls = {
  tokenUrl: string
  mtlsConnectorUrl: string
  directorUrl: string
  runtimeDirectorUrl: string
}

const CONSTANTS: SubjectConstants = {
  O: 'Org',
  OU: 'OrgUnit',
  L: 'locality',
  ST: 'province',
  C: 'DE',
}

/** The constants that a CSR must carry. */
export function subjectConstants(knobs: Taken): SubjectConstants {
  return { ...CONSTANTS, ...knobs.subject }
}

/** Answers `configuration`. Each call gives the system auth another token, whether or not the field is asked for. */
export function configuration(context: ConnectorContext): Record<string, unknown> {
  const { call, auth, store, urls } = context
  const { knobs } = call
  return {
    token: { token: newToken(store, auth, call.now) },
    certificateSigningRequestInfo: {
      subject: subjectText(subjectConstants(knobs), auth.id, knobs.subjectEscaped === true),
      keyAlgorithm: knobs.keyAlgorithm ?? 'rsa2048',
    },
    managementPlaneInfo: {
      directorURL: urlOrNull(knobs.directorUrl ?? urls.directorUrl),
      certificateSecuredConnectorURL: urlOrNull(knobs.connectorUrl ?? urls.mtlsConnectorUrl),
    },
  }
}

/** Compass fills the values in and escapes nothing. */
function subjectText(constants: SubjectConstants, commonName: string, escaped: boolean): string {
  const { O, OU, L, ST, C } = constants
  const values = { O, OU, L, ST, C, CN: commonName }
  const name: DistinguishedName = Object.entries(values).map(([type, value]) => ({ type, value }))
  if (escaped) return formatSubject(name)
  return name.map(({ type, value }) => `${type}=${value}`).join(',')
}

function urlOrNull(url: string): string | null {
  return url === '' ? null : url
}
