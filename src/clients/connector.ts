import type { Plane } from '../model/identity.ts'
import { Secret } from '../model/secret.ts'
import type { Json } from './decode.ts'
import { CONFIGURATION, CONFIGURATION_WITHOUT_TOKEN, REVOKE, SIGN } from './documents.ts'
import { request } from './graphql.ts'
import type { Call as GraphqlCall, GraphqlSession, Question } from './graphql.ts'

/** One pass: its id for `x-request-id` (`<runtimeId>_<uuid>`), and what stops it. */
export type Call = GraphqlCall

/** By what the Connector knows us: a one-time token, which this one use spends, or the certificate of the session. */
export type ConnectorAuth = { token: Secret } | 'mtls'

export type ConnectorConfiguration = {
  /** Token 2, the only one that works for the signing call; only in answers to a token. */
  token?: Secret
  /** DN that the CSR must carry, unescaped: `O=…,OU=…,L=…,ST=…,C=…,CN=<system auth id>`. */
  subject: string
  /** `rsa2048` and the like; not checked here. */
  keyAlgorithm: string
  plane: Plane
}

export type SignedCertificate = {
  /** PEM: the client certificate, then its issuers; what a TLS client sends. */
  chain: string
  /** PEM of the issuing CA. It signs clients: never a root for servers. */
  caCertificate: string
}

/**
 * The Connector (reference/connector.md). Errors as {@link request}; through the token door `detail.token` tells whether
 * the token is gone (TokenFate). A token is spent on arrival: no call with one may be repeated.
 */
export interface Connector {
  /** Also mints a token in the Director each time, over mTLS too: call it no more than needed. */
  configuration(auth: ConnectorAuth, call: Call): Promise<ConnectorConfiguration>
  /** `csrPem` as PEM text. Over mTLS it may be repeated freely. */
  sign(csrPem: string, auth: ConnectorAuth, call: Call): Promise<SignedCertificate>
  /** Revokes the certificate of this session, for both services, within about a second. */
  revoke(call: Call): Promise<void>
}

/** Nothing is sent before the first call. */
export function openConnector(session: GraphqlSession): Connector {
  return {
    configuration: (auth, call) =>
      request(session, {
        ...asked(auth, call),
        what: 'read the configuration',
        document: auth === 'mtls' ? CONFIGURATION_WITHOUT_TOKEN : CONFIGURATION,
        decode: (data) => decodeConfiguration(data.object('result'), auth),
      }),
    sign: (csrPem, auth, call) =>
      request(session, {
        ...asked(auth, call),
        what: 'get a certificate',
        document: SIGN,
        variables: { csr: btoa(csrPem) },
        decode: (data) => decodeSigned(data.object('result')),
      }),
    revoke: (call) =>
      request(session, {
        ...asked('mtls', call),
        what: 'revoke the certificate',
        document: REVOKE,
        decode: (data) => {
          if (!data.flag('result')) throw data.unfit('result', 'true')
        },
      }),
  }
}

function asked(auth: ConnectorAuth, call: Call): Call & Pick<Question<unknown>, 'door' | 'token'> {
  return auth === 'mtls'
    ? { ...call, door: 'connector' }
    : { ...call, door: 'token', token: auth.token }
}

function decodeConfiguration(result: Json, auth: ConnectorAuth): ConnectorConfiguration {
  const info = result.object('certificateSigningRequestInfo')
  const urls = result.object('managementPlaneInfo')
  return {
    ...(auth === 'mtls' ? {} : { token: new Secret(filled(result.object('token'), 'token')) }),
    subject: filled(info, 'subject'),
    keyAlgorithm: filled(info, 'keyAlgorithm'),
    plane: {
      connectorUrl: httpsUrl(urls, 'certificateSecuredConnectorURL'),
      directorUrl: httpsUrl(urls, 'directorURL'),
    },
  }
}

function decodeSigned(result: Json): SignedCertificate {
  return {
    chain: pem(result, 'certificateChain'),
    caCertificate: pem(result, 'caCertificate'),
  }
}

function filled(place: Json, key: string): string {
  const text = place.text(key)
  if (text === '') throw place.unfit(key, 'a string with something in it')
  return text
}

/** Both addresses are for mTLS, so another scheme is no address of Compass's. */
function httpsUrl(place: Json, key: string): string {
  const text = filled(place, key)
  if (!URL.canParse(text) || new URL(text).protocol !== 'https:') {
    throw place.unfit(key, 'an https address')
  }
  return text
}

/** Certificates travel as base64 of PEM. */
function pem(place: Json, key: string): string {
  const text = base64Text(filled(place, key))
  if (!/^\s*-----BEGIN CERTIFICATE-----/.test(text)) {
    throw place.unfit(key, 'base64 of PEM certificates')
  }
  return text
}

function base64Text(text: string): string {
  try {
    return atob(text)
  } catch {
    return ''
  }
}
