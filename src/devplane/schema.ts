import { buildSchema, type GraphQLSchema } from 'graphql'

/**
 * The part of the Connector's schema that is served; all of it, in fact.
 *
 * Both schemas are written down here anew, as the subset that a runtime can use. A test holds every field, type and
 * argument against the schemas of Compass itself.
 */
const CONNECTOR_SDL = /* GraphQL */ `
  type Query {
    configuration: Configuration!
  }
  type Mutation {
    signCertificateSigningRequest(csr: String!): CertificationResult!
    revokeCertificate: Boolean!
  }
  type Configuration {
    token: Token
    certificateSigningRequestInfo: CertificateSigningRequestInfo
    managementPlaneInfo: ManagementPlaneInfo
  }
  type Token {
    token: String!
  }
  type CertificateSigningRequestInfo {
    subject: String!
    keyAlgorithm: String!
  }
  type ManagementPlaneInfo {
    directorURL: String
    certificateSecuredConnectorURL: String
  }
  type CertificationResult {
    certificateChain: String!
    caCertificate: String!
    clientCertificate: String!
  }
`

const DIRECTOR_SDL = /* GraphQL */ `
  scalar Any
  scalar CLOB
  scalar HttpHeaders
  scalar HttpHeadersSerialized
  scalar JSON
  scalar JSONSchema
  scalar Labels
  scalar PageCursor
  scalar QueryParams
  scalar QueryParamsSerialized
  scalar Timestamp

  type Query {
    viewer: Viewer!
    runtime(id: ID!): Runtime
    applicationsForRuntime(runtimeID: ID!, first: Int = 200, after: PageCursor): ApplicationPage!
    applications(filter: [LabelFilter!], first: Int = 200, after: PageCursor): ApplicationPage!
    application(id: ID!): Application
    bundleInstanceAuth(id: ID!): BundleInstanceAuth
  }
  type Mutation {
    setRuntimeLabel(runtimeID: ID!, key: String!, value: Any!): Label!
    deleteRuntimeLabel(runtimeID: ID!, key: String!): Label!
    requestBundleInstanceAuthCreation(
      bundleID: ID!
      in: BundleInstanceAuthRequestInput!
    ): BundleInstanceAuth!
    requestBundleInstanceAuthDeletion(authID: ID!): BundleInstanceAuth!
  }

  input LabelFilter {
    key: String!
    query: String
  }
  input BundleInstanceAuthRequestInput {
    id: ID
    context: JSON
    inputParams: JSON
  }

  type Viewer {
    id: ID!
    type: ViewerType!
  }
  enum ViewerType {
    RUNTIME
    APPLICATION
    INTEGRATION_SYSTEM
    USER
  }
  type Label {
    key: String!
    value: Any!
  }

  type Runtime {
    id: ID!
    metadata: RuntimeMetadata!
    name: String!
    description: String
    labels(key: String): Labels
    status: RuntimeStatus!
    auths: [RuntimeSystemAuth!]
  }
  type RuntimeMetadata {
    creationTimestamp: Timestamp!
  }
  type RuntimeStatus {
    condition: RuntimeStatusCondition!
    timestamp: Timestamp!
  }
  enum RuntimeStatusCondition {
    INITIAL
    PROVISIONING
    CONNECTED
    FAILED
  }
  type RuntimeSystemAuth {
    id: ID!
    auth: Auth
  }

  interface Pageable {
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type PageInfo {
    startCursor: PageCursor!
    endCursor: PageCursor!
    hasNextPage: Boolean!
  }
  type ApplicationPage implements Pageable {
    data: [Application!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type Application {
    id: ID!
    name: String!
    systemNumber: String
    localTenantID: String
    baseUrl: String
    providerName: String
    description: String
    integrationSystemID: ID
    applicationTemplateID: ID
    labels(key: String): Labels
    status: ApplicationStatus!
    healthCheckURL: String
    bundles(first: Int = 200, after: PageCursor): BundlePage
    bundle(id: ID!): Bundle
    auths: [AppSystemAuth!]
    applicationNamespace: String
    createdAt: Timestamp
    updatedAt: Timestamp
    deletedAt: Timestamp
    systemStatus: String
    error: String
  }
  type ApplicationStatus {
    condition: ApplicationStatusCondition!
    timestamp: Timestamp!
  }
  enum ApplicationStatusCondition {
    INITIAL
    CONNECTED
    FAILED
    CREATING
    CREATE_FAILED
    CREATE_SUCCEEDED
    UPDATING
    UPDATE_FAILED
    UPDATE_SUCCEEDED
    DELETING
    DELETE_FAILED
    DELETE_SUCCEEDED
    UNPAIRING
    UNPAIR_FAILED
  }
  type AppSystemAuth {
    id: ID!
    auth: Auth
  }

  type BundlePage implements Pageable {
    data: [Bundle!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type Bundle {
    id: ID!
    name: String!
    description: String
    instanceAuthRequestInputSchema: JSONSchema
    instanceAuth(id: ID!): BundleInstanceAuth
    instanceAuths: [BundleInstanceAuth!]
    defaultInstanceAuth: Auth
    apiDefinitions(group: String, first: Int = 200, after: PageCursor): APIDefinitionPage
    eventDefinitions(group: String, first: Int = 200, after: PageCursor): EventDefinitionPage
    documents(first: Int = 200, after: PageCursor): DocumentPage
    apiDefinition(id: ID!): APIDefinition
    eventDefinition(id: ID!): EventDefinition
    correlationIDs: [String!]
    createdAt: Timestamp
    updatedAt: Timestamp
    deletedAt: Timestamp
    error: String
  }
  type BundleInstanceAuth {
    id: ID!
    context: JSON
    inputParams: JSON
    auth: Auth
    status: BundleInstanceAuthStatus!
    runtimeID: ID
    runtimeContextID: ID
  }
  type BundleInstanceAuthStatus {
    condition: BundleInstanceAuthStatusCondition!
    timestamp: Timestamp!
    message: String!
    reason: String!
  }
  enum BundleInstanceAuthStatusCondition {
    PENDING
    SUCCEEDED
    FAILED
    UNUSED
  }

  type DocumentPage implements Pageable {
    data: [Document!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type Document {
    id: ID!
    title: String!
  }
  type APIDefinitionPage implements Pageable {
    data: [APIDefinition!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type APIDefinition {
    id: ID!
    name: String!
    description: String
    spec: APISpec
    targetURL: String!
    group: String
    version: Version
    created_at: Timestamp
    updated_at: Timestamp
    deleted_at: Timestamp
    error: String
  }
  type APISpec {
    id: ID!
    data: CLOB
    format: SpecFormat!
    type: APISpecType!
  }
  enum APISpecType {
    ODATA
    OPEN_API
  }
  type EventDefinitionPage implements Pageable {
    data: [EventDefinition!]!
    pageInfo: PageInfo!
    totalCount: Int!
  }
  type EventDefinition {
    id: ID!
    name: String!
    description: String
    group: String
    spec: EventSpec
    version: Version
    createdAt: Timestamp
    updatedAt: Timestamp
    deletedAt: Timestamp
    error: String
  }
  type EventSpec {
    id: ID!
    data: CLOB
    type: EventSpecType!
    format: SpecFormat!
  }
  enum EventSpecType {
    ASYNC_API
  }
  enum SpecFormat {
    YAML
    JSON
    XML
  }
  type Version {
    value: String!
    deprecated: Boolean
    deprecatedSince: String
    forRemoval: Boolean
  }

  type Auth {
    credential: CredentialData
    accessStrategy: String
    additionalHeaders: HttpHeaders
    additionalHeadersSerialized: HttpHeadersSerialized
    additionalQueryParams: QueryParams
    additionalQueryParamsSerialized: QueryParamsSerialized
    requestAuth: CredentialRequestAuth
    certCommonName: String
  }
  union CredentialData = BasicCredentialData | OAuthCredentialData | CertificateOAuthCredentialData
  type BasicCredentialData {
    username: String!
    password: String!
  }
  type OAuthCredentialData {
    clientId: ID!
    clientSecret: String!
    url: String!
  }
  type CertificateOAuthCredentialData {
    clientId: ID!
    certificate: String!
    url: String!
  }
  type CredentialRequestAuth {
    csrf: CSRFTokenCredentialRequestAuth
  }
  type CSRFTokenCredentialRequestAuth {
    tokenEndpointURL: String!
    credential: CredentialData
    additionalHeaders: HttpHeaders
    additionalHeadersSerialized: HttpHeadersSerialized
    additionalQueryParams: QueryParams
    additionalQueryParamsSerialized: QueryParamsSerialized
  }
`

/** A new schema of the Connector, without resolvers. */
export function connectorSchema(): GraphQLSchema {
  return buildSchema(CONNECTOR_SDL)
}

/** A new schema of the Director, without resolvers. */
export function directorSchema(): GraphQLSchema {
  return buildSchema(DIRECTOR_SDL)
}
