import { parseSubject } from '../../src/identity/subject.ts'
import { createCsr } from '../../src/identity/x509.ts'
import { Secret } from '../../src/model/secret.ts'
import { openHttp, type HttpSession } from '../../src/runtime/http.ts'
import { generateRsaKey } from '../../src/runtime/keys.ts'
import type { Plane } from '../../src/devplane/plane.ts'

/** JSON of an answer: what a test reads out of it, it proves. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the test's assertion is the check
export type Json = any

/** An answer as these tests look at it. */
export type Reply = {
  status: number
  type: string | null
  text: string
  json: Json
  headers: Headers
}

export type Enrolled = { key: Secret; chain: string; session: HttpSession; systemAuth: string }

export const CONFIGURATION =
  'query { result: configuration { token { token } certificateSigningRequestInfo { subject keyAlgorithm } managementPlaneInfo { directorURL certificateSecuredConnectorURL } } }'
export const SIGN =
  'mutation ($csr: String!) { result: signCertificateSigningRequest(csr: $csr) { certificateChain caCertificate clientCertificate } }'

/** A session that trusts the plane, without a client certificate. */
export function anonymous(plane: Plane): HttpSession {
  return openHttp({ tls: { ca: [plane.caPem] }, proxy: { except: ['*'] } })
}

export async function post(
  session: HttpSession,
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const response = await session.fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    text,
    json,
    headers: response.headers,
  }
}

/** One key for all tests: making RSA keys is the slow part. */
let sharedKey: ReturnType<typeof generateRsaKey> | undefined
export function testKey(): ReturnType<typeof generateRsaKey> {
  sharedKey ??= generateRsaKey(2048)
  return sharedKey
}

export async function csrFor(subject: string, keys = testKey()): Promise<string> {
  const { privateKeyPem } = await keys
  return btoa(await createCsr({ subject: parseSubject(subject), key: privateKeyPem }))
}

/** Enrols as an agent does, and gives a session with the certificate. */
export async function enrol(plane: Plane, token?: string): Promise<Enrolled> {
  const first = token ?? (await plane.issueToken()).token
  const session = anonymous(plane)
  const configured = await post(
    session,
    plane.tokenUrl,
    { query: CONFIGURATION },
    { 'connector-token': first },
  )
  const { token: second, certificateSigningRequestInfo } = configured.json.data.result
  const csr = await csrFor(certificateSigningRequestInfo.subject)
  const signed = await post(
    session,
    plane.tokenUrl,
    { query: SIGN, variables: { csr } },
    { 'connector-token': second.token },
  )
  await session.close()
  const { privateKeyPem: key } = await testKey()
  const chain = atob(signed.json.data.result.certificateChain)
  const systemAuth = /CN=(.*)$/.exec(certificateSigningRequestInfo.subject)![1]!
  return { key, chain, session: withIdentity(plane, key, chain), systemAuth }
}

export function withIdentity(plane: Plane, key: Secret, chain: string): HttpSession {
  return openHttp({
    tls: { identity: { key, chain }, ca: [plane.caPem] },
    proxy: { except: ['*'] },
  })
}
