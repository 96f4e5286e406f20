import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { landscapeOf } from '../../src/devplane/landscape.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import type { HttpSession } from '../../src/runtime/http.ts'
import { needsShared, shared } from '../shared.ts'
import {
  anonymous,
  CONFIGURATION,
  csrFor,
  enrol,
  post,
  SIGN,
  withIdentity,
  type Reply,
} from './client.ts'
import { needsOpenssl, Workbench } from './openssl.ts'
import { comparableRecording, comparableReply, recordingsOf } from './recorded.ts'

const recordings = recordingsOf('connector')

/** What a scenario has at hand. */
type Stage = {
  plane: Plane
  session: HttpSession
  /** To the token port. */
  ask: (token: string | undefined, body: unknown) => Promise<Reply>
  /** A token that lives. */
  token: () => Promise<string>
  /** The recorded body. */
  body: unknown
}

/** What the answer of `configuration` says. */
async function configure({ ask, token }: Stage): Promise<{ token: string; subject: string }> {
  const { json } = await ask(await token(), { query: CONFIGURATION })
  const { result } = json.data
  return { token: result.token.token, subject: result.certificateSigningRequestInfo.subject }
}

async function sign(
  stage: Stage,
  subject?: string,
): Promise<{ token: string; reply: Reply; csr: string }> {
  const { token, subject: asked } = await configure(stage)
  const csr = await csrFor(subject ?? asked)
  return { token, csr, reply: await stage.ask(token, { query: SIGN, variables: { csr } }) }
}

/** An EC key and CSR, which only a foreign tool makes. */
async function ecRequest(subject: string): Promise<string> {
  using bench = new Workbench()
  const name = `/${subject.split(',').join('/')}`
  await bench.run([
    'openssl',
    'ecparam',
    '-name',
    'prime256v1',
    '-genkey',
    '-noout',
    '-out',
    'ec.key',
  ])
  await bench.run(['openssl', 'req', '-new', '-key', 'ec.key', '-subj', name, '-out', 'ec.csr'])
  return btoa(bench.read('ec.csr'))
}

/** What each recording shows, done again. Requests with a CSR carry another one, for another common name. */
const SCENARIOS: Record<string, (stage: Stage) => Promise<Reply>> = {
  'configuration-with-token': async ({ ask, token, body }) => ask(await token(), body),
  'configuration-no-token': ({ ask, body }) => ask(undefined, body),
  'configuration-unknown-token': ({ ask, body }) => ask('CANARY-unknown-token-0001', body),
  'configuration-token-already-used': async ({ ask, token, body }) => {
    const used = await token()
    await ask(used, body)
    return ask(used, body)
  },
  'configuration-expired-token': async ({ plane, ask, token, body }) => {
    const old = await token()
    await plane.set({ tokenLifetime: 0 })
    return ask(old, body)
  },
  'sign-with-token': async (stage) => (await sign(stage)).reply,
  'sign-replay-same-token-same-csr': async (stage) => {
    const { token, csr } = await sign(stage)
    return stage.ask(token, { query: SIGN, variables: { csr } })
  },
  'sign-wrong-common-name': async (stage) =>
    (await sign(stage, 'O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=someone-else')).reply,
  'sign-after-a-refused-csr': async (stage) => {
    const { token, subject } = await configure(stage)
    const wrong = await csrFor('O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=someone-else')
    await stage.ask(token, { query: SIGN, variables: { csr: wrong } })
    return stage.ask(token, { query: SIGN, variables: { csr: await csrFor(subject) } })
  },
  'sign-csr-not-pem': async (stage) => stage.ask((await configure(stage)).token, stage.body),
  'sign-ec-p256': async (stage) => {
    const { token, subject } = await configure(stage)
    return stage.ask(token, { query: SIGN, variables: { csr: await ecRequest(subject) } })
  },
  'mtls-configuration': async ({ plane, body }) => {
    const me = await enrol(plane)
    return post(me.session, plane.mtlsConnectorUrl, body)
  },
  'mtls-renew': async ({ plane }) => {
    const me = await enrol(plane)
    const { json } = await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    const csr = await csrFor(json.data.result.certificateSigningRequestInfo.subject)
    return post(me.session, plane.mtlsConnectorUrl, { query: SIGN, variables: { csr } })
  },
  'mtls-configuration-old-certificate-after-renewal': async ({ plane, body }) => {
    const me = await enrol(plane)
    const { json } = await post(me.session, plane.mtlsConnectorUrl, { query: CONFIGURATION })
    const csr = await csrFor(json.data.result.certificateSigningRequestInfo.subject)
    await post(me.session, plane.mtlsConnectorUrl, { query: SIGN, variables: { csr } })
    return post(withIdentity(plane, me.key, me.chain), plane.mtlsConnectorUrl, body)
  },
  'mtls-revoke': async ({ plane, body }) => {
    const me = await enrol(plane)
    return post(me.session, plane.mtlsConnectorUrl, body)
  },
  'mtls-configuration-revoked': async ({ plane, body }) => {
    const me = await enrol(plane)
    await post(me.session, plane.mtlsConnectorUrl, {
      query: 'mutation { result: revokeCertificate }',
    })
    return post(me.session, plane.mtlsConnectorUrl, body)
  },
  'unknown-field': async ({ ask, token, body }) => ask(await token(), body),
  'fault-connector-down': async ({ plane, ask, token, body }) => {
    await plane.set({ connectorDown: true })
    return ask(await token(), body)
  },
  'after-fault-connector-down-same-token': async ({ plane, ask, token, body }) => {
    const same = await token()
    await plane.set({ connectorDown: { count: 1 } })
    await ask(same, body)
    return ask(same, body)
  },
  'fault-director-down': async ({ plane, ask, token, body }) => {
    await plane.set({ directorDown: true })
    return ask(await token(), body)
  },
  'after-fault-director-down-same-token': async ({ plane, ask, token, body }) => {
    const same = await token()
    await plane.set({ directorDown: { count: 1 } })
    await ask(same, body)
    return ask(same, body)
  },
}

/** Where TLS fails and no answer comes: alerts are looked at by a foreign client, in foreign.test.ts. */
const NO_ANSWER: Record<string, (stage: Stage) => Promise<Reply>> = {
  'mtls-no-client-certificate': ({ plane, session, body }) =>
    post(session, plane.mtlsConnectorUrl, body),
  'mtls-expired-certificate': async ({ plane, body }) => {
    await plane.set({ certificateOffset: -7_200_000, certificateLifetime: 60_000 })
    const me = await enrol(plane)
    return post(me.session, plane.mtlsConnectorUrl, body)
  },
}

describe('recordings of the Connector', () => {
  let plane: Plane
  let session: HttpSession
  const stage = (name: string): Stage => ({
    plane,
    session,
    ask: (token, body) =>
      post(session, plane.tokenUrl, body, token === undefined ? {} : { 'connector-token': token }),
    token: async () => (await plane.issueToken()).token,
    body: recordings.get(name)!.request.body,
  })

  beforeAll(async () => {
    plane = await openPlane({ landscape: landscapeOf([]) })
    session = anonymous(plane)
  })

  afterAll(async () => {
    await session.close()
    await plane.close()
  })

  needsShared('each one is done again', () => {
    expect([...Object.keys(SCENARIOS), ...Object.keys(NO_ANSWER)].sort()).toEqual(
      [...recordings.keys()].sort(),
    )
  })

  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    const needed = name === 'sign-ec-p256' && shared !== undefined ? needsOpenssl : needsShared
    needed(`${name}: the plane answers as the real Connector`, async () => {
      await plane.reset()
      const reply = await scenario(stage(name))
      expect(comparableReply(reply)).toEqual(comparableRecording(recordings.get(name)!))
      if (reply.text === '') expect(reply.headers.get('content-length')).toBe('0')
    })
  }

  for (const [name, scenario] of Object.entries(NO_ANSWER)) {
    needsShared(`${name}: no answer comes`, async () => {
      await plane.reset()
      expect(recordings.get(name)!.response).toBeNull()
      expect(await scenario(stage(name)).catch((thrown: unknown) => thrown)).toBeInstanceOf(Error)
    })
  }
})
