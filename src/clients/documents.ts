/**
 * Every GraphQL document that the agent sends, as constants. What must stay true:
 *
 * - Values go in variables, never into the text.
 * - The old words for bundles (and their plural) stand nowhere: the Director rewrites a body that holds them, and the
 *   keys of its answer.
 * - A nested list below a list of parents never has `after`: the Director would apply it to all parents. Nested lists
 *   take at most 200.
 * - `spec` is never selected (large texts), nor `token` over mTLS (it could enrol another agent).
 * - Credentials are read from lists of bundles only: `bundle(id)` does not show what is meant for this runtime.
 */

export const CONFIGURATION = /* GraphQL */ `
  query {
    result: configuration {
      token {
        token
      }
      certificateSigningRequestInfo {
        subject
        keyAlgorithm
      }
      managementPlaneInfo {
        directorURL
        certificateSecuredConnectorURL
      }
    }
  }
`

/** Over mTLS. The Connector makes a new token all the same; it is just not shown. */
export const CONFIGURATION_WITHOUT_TOKEN = /* GraphQL */ `
  query {
    result: configuration {
      certificateSigningRequestInfo {
        subject
        keyAlgorithm
      }
      managementPlaneInfo {
        directorURL
        certificateSecuredConnectorURL
      }
    }
  }
`

export const SIGN = /* GraphQL */ `
  mutation ($csr: String!) {
    result: signCertificateSigningRequest(csr: $csr) {
      certificateChain
      caCertificate
    }
  }
`

export const REVOKE = /* GraphQL */ `
  mutation {
    result: revokeCertificate
  }
`

export const VIEWER = /* GraphQL */ `
  query {
    result: viewer {
      id
      type
    }
  }
`

export const RUNTIME_LABELS = /* GraphQL */ `
  query ($runtimeId: ID!) {
    result: runtime(id: $runtimeId) {
      labels
    }
  }
`

export const SET_RUNTIME_LABEL = /* GraphQL */ `
  mutation ($runtimeId: ID!, $key: String!, $value: Any!) {
    result: setRuntimeLabel(runtimeID: $runtimeId, key: $key, value: $value) {
      key
      value
    }
  }
`

const PAGE = /* GraphQL */ `pageInfo { endCursor hasNextPage } totalCount`

const CREDENTIAL = /* GraphQL */ `
  credential {
    __typename
    ... on BasicCredentialData { username password }
    ... on OAuthCredentialData { clientId clientSecret url }
    ... on CertificateOAuthCredentialData { clientId certificate url }
  }
  additionalHeaders
  additionalQueryParams`

const API = /* GraphQL */ `
  id name description group targetURL
  version { value deprecated deprecatedSince forRemoval }`

const EVENT = /* GraphQL */ `
  id name description group
  version { value deprecated deprecatedSince forRemoval }`

const BUNDLE = /* GraphQL */ `
  id name description instanceAuthRequestInputSchema
  apiDefinitions(first: 200) { data { ${API} } ${PAGE} }
  eventDefinitions(first: 200) { data { ${EVENT} } ${PAGE} }
  defaultInstanceAuth { ${CREDENTIAL} requestAuth { csrf { tokenEndpointURL ${CREDENTIAL} } } }`

const INSTANCE_AUTHS = /* GraphQL */ `
  instanceAuths { id context runtimeID status { condition } }`

/** Documents that differ by whether `instanceAuths` of bundles are read. */
export type ApplicationDocuments = { firstPage: string; nextPage: string; bundles: string }

function applicationDocuments(bundle: string): ApplicationDocuments {
  const applications = /* GraphQL */ `
    applicationsForRuntime(runtimeID: $runtimeId, first: $first, after: $after) {
      data {
        id name providerName description labels systemNumber localTenantID
        auths { id }
        bundles(first: 200) { data { ${bundle} } ${PAGE} }
      }
      ${PAGE}
    }`
  return {
    firstPage: /* GraphQL */ `
      query ($runtimeId: ID!, $first: Int!, $after: PageCursor) {
        runtime(id: $runtimeId) { labels }
        ${applications}
      }`,
    nextPage: /* GraphQL */ `
      query ($runtimeId: ID!, $first: Int!, $after: PageCursor) { ${applications} }`,
    bundles: /* GraphQL */ `
      query ($applicationId: ID!, $first: Int!, $after: PageCursor) {
        application(id: $applicationId) {
          bundles(first: $first, after: $after) { data { ${bundle} } ${PAGE} }
        }
      }`,
  }
}

export const APPLICATIONS: ApplicationDocuments = applicationDocuments(BUNDLE)

export const APPLICATIONS_WITH_INSTANCE_AUTHS: ApplicationDocuments = applicationDocuments(
  BUNDLE + INSTANCE_AUTHS,
)

export const API_DEFINITIONS = /* GraphQL */ `
  query ($applicationId: ID!, $bundleId: ID!, $first: Int!, $after: PageCursor) {
    application(id: $applicationId) {
      bundle(id: $bundleId) {
        apiDefinitions(first: $first, after: $after) { data { ${API} } ${PAGE} }
      }
    }
  }`

export const EVENT_DEFINITIONS = /* GraphQL */ `
  query ($applicationId: ID!, $bundleId: ID!, $first: Int!, $after: PageCursor) {
    application(id: $applicationId) {
      bundle(id: $bundleId) {
        eventDefinitions(first: $first, after: $after) { data { ${EVENT} } ${PAGE} }
      }
    }
  }`
