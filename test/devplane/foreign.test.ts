import { afterAll, beforeAll, describe, expect } from 'bun:test'
import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import { SAMPLE_LANDSCAPE } from '../../src/devplane/landscape-sample.ts'
import { openPlane, type Plane } from '../../src/devplane/plane.ts'
import { CONFIGURATION, SIGN } from './client.ts'
import { needsCurl, needsOpenssl, Workbench } from './openssl.ts'

/** A client that has nothing of ours: the openssl and curl command lines, as the tutorials of Compass use them. */
let plane: Plane
let bench: Workbench

beforeAll(async () => {
  plane = await openPlane({ landscape: parseLandscape(SAMPLE_LANDSCAPE) })
  bench = new Workbench()
  bench.write('ca.pem', plane.caPem)
})

afterAll(async () => {
  bench[Symbol.dispose]()
  await plane.close()
})

const curl = async (url: string, query: object, ...more: string[]): Promise<string> => {
  const common = [
    'curl',
    '-sS',
    '--noproxy',
    '*',
    '--cacert',
    'ca.pem',
    '-H',
    'Content-Type: application/json',
  ]
  const { output } = await bench.run(
    [...common, ...more, '--data-binary', '@-', url],
    JSON.stringify(query),
  )
  return output
}
const identity = ['--cert', 'chain.pem', '--key', 'key.pem']

/** The steps of the public tutorial: configuration, key and CSR by openssl, signing. Leaves key.pem and chain.pem. */
async function enrolByHand(): Promise<void> {
  const { token } = await plane.issueToken()
  const configured = await curl(
    plane.tokenUrl,
    { query: CONFIGURATION },
    '-H',
    `Connector-Token: ${token}`,
  )
  const { result } = JSON.parse(configured).data
  const subject = `/${result.certificateSigningRequestInfo.subject.split(',').join('/')}`
  await bench.run(['openssl', 'genrsa', '-out', 'key.pem', '2048'])
  await bench.run([
    'openssl',
    'req',
    '-new',
    '-sha256',
    '-out',
    'csr.pem',
    '-key',
    'key.pem',
    '-subj',
    subject,
  ])
  const csr = btoa(bench.read('csr.pem'))
  const signed = await curl(
    plane.tokenUrl,
    { query: SIGN, variables: { csr } },
    '-H',
    `Connector-Token: ${result.token.token}`,
  )
  bench.write('chain.pem', atob(JSON.parse(signed).data.result.certificateChain))
}

const handshake = async (...more: string[]): Promise<string> => {
  const at = new URL(plane.directorUrl).host
  // The alert for a client certificate comes after the handshake of TLS 1.3, so something must be read behind it.
  const request = 'POST /director/graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
  const command = ['openssl', 's_client', '-connect', at, '-CAfile', 'ca.pem', '-ign_eof', ...more]
  return (await bench.run(command, request)).output
}

describe('a foreign client', () => {
  needsCurl('enrols with openssl and curl, reads the Director and renews', async () => {
    await enrolByHand()
    const text = await bench.run([
      'openssl',
      'x509',
      '-in',
      'chain.pem',
      '-noout',
      '-serial',
      '-issuer',
    ])
    expect(text.output).toContain('serial=02')
    const listed = await curl(
      plane.directorUrl,
      { query: '{ result: applications { data { name } } }' },
      ...identity,
    )
    expect(
      JSON.parse(listed)
        .data.result.data.map(({ name }: { name: string }) => name)
        .sort(),
    ).toEqual(['CRM', 'Commerce Cloud', 'ERP Production', 'Public Holidays'])
    const csr = btoa(bench.read('csr.pem'))
    const renewed = await curl(
      plane.mtlsConnectorUrl,
      { query: SIGN, variables: { csr } },
      ...identity,
    )
    expect(JSON.parse(renewed).data.result.clientCertificate).toBeString()
    bench.write('leaf.pem', bench.read('chain.pem').split(/(?<=END CERTIFICATE-----\n)/)[0]!)
    const leafOnly = ['--cert', 'leaf.pem', '--key', 'key.pem', '--tlsv1.2', '--tls-max', '1.2']
    const viewer = await curl(plane.directorUrl, { query: '{ viewer { type } }' }, ...leafOnly)
    expect(JSON.parse(viewer)).toEqual({ data: { viewer: { type: 'RUNTIME' } } })
    const verified = await bench.run(['openssl', 'x509', '-in', 'chain.pem', '-noout', '-text'])
    expect(verified.output).toContain('TLS Web Client Authentication')
    expect(verified.output).not.toContain('Subject Alternative Name')
  })

  needsOpenssl('without a certificate gets the TLS alert 116', async () => {
    expect(await handshake('-tls1_3')).toContain('SSL alert number 116')
  })

  // A real front sends alert 48 or 45. TLS libraries of JavaScript runtimes verify after the handshake and can only close.
  needsOpenssl('with a certificate of another CA gets no answer', async () => {
    await bench.run([
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'other.key',
      '-out',
      'other.pem',
      '-subj',
      '/CN=other',
    ])
    const output = await handshake('-cert', 'other.pem', '-key', 'other.key')
    expect(output).not.toContain('HTTP/1.1')
  })

  needsCurl('with an expired certificate gets no answer', async () => {
    await plane.set({ certificateOffset: -7_200_000, certificateLifetime: 60_000 })
    await enrolByHand()
    await plane.reset()
    const output = await handshake('-cert', 'chain.pem', '-key', 'key.pem')
    expect(output).not.toContain('HTTP/1.1')
  })
})
