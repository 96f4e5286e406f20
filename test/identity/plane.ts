import type { Plane } from '../../src/model/identity.ts'

/** Of the Compass that fixtures.ts is about; alone in a file, as kill-child.ts must start fast. */
export const PLANE: Plane = {
  connectorUrl: 'https://mtls.compass.example/connector/graphql',
  directorUrl: 'https://mtls.compass.example/director/graphql',
}
