/** A release over a network, with curl and with both wgets, from servers of this process. */
import { afterEach, describe, expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { onMachine, removeMachines } from './support/machine.ts'
import type { How, Machine, Said } from './support/machine.ts'
import { EXECUTABLE, machineWithRelease, putRelease } from './support/release.ts'

const closing: (() => unknown)[] = []
afterEach(() => {
  closing.splice(0).forEach((close) => close())
  removeMachines()
})

const error = ({ err }: Said): string | undefined => /^install\.sh: error: (.*)$/m.exec(err)?.[1]
const hint = ({ err }: Said): string | undefined => /^install\.sh: hint: (.*)$/m.exec(err)?.[1]

/** Serves the release of a machine; gives its URL and what was asked for. */
function serve(
  one: Machine,
  tls?: { cert: string; key: string },
): { url: string; asked: string[] } {
  const asked: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    ...(tls === undefined ? {} : { tls }),
    fetch(request) {
      const { pathname } = new URL(request.url)
      asked.push(pathname)
      const moved = pathname.replace('/latest/', '/v1/')
      if (moved !== pathname) return Response.redirect(moved, 302)
      const file = Bun.file(one.path(`/release/${pathname.replace('/v1/', '')}`))
      return file.size > 0 ? new Response(file) : new Response('no', { status: 404 })
    },
  })
  closing.push(() => server.stop(true))
  return { url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${server.port}/v1`, asked }
}

/** The script from elsewhere, as the release is not on the machine. */
const elsewhere = (one: Machine): void => {
  one.write('/install.sh', one.read('/release/install.sh'), 0o755)
}
const HERE: How = { script: '/install.sh' }

/** All programs but these. */
const without = (...names: string[]): How => ({
  ...HERE,
  mounts: `mkdir -p "$ROOT/some"; ln -sf /usr/bin/* "$ROOT/some/"
rm -f ${names.map((name) => `"$ROOT/some/${name}"`).join(' ')}`,
  env: { PATH: '/stubs:/some' },
})

describe.each(['curl', 'wget', 'busybox wget'])('with %s', (tool) => {
  const how = tool === 'curl' ? HERE : without('curl', ...(tool === 'wget' ? [] : ['wget']))
  const ready = (): Machine => {
    const one = machineWithRelease()
    elsewhere(one)
    if (tool === 'busybox wget') one.stub('wget', 'exec busybox wget "$@"')
    return one
  }

  onMachine('only what is needed is fetched, also over a redirect', async () => {
    const one = ready()
    const { url, asked } = serve(one)
    const said = await one.install(['--from', url.replace('/v1', '/latest')], how)
    expect(said).toMatchObject({ code: 0 })
    const names = ['SHA256SUMS', 'SHA256SUMS.sig', 'VERSION', `${EXECUTABLE}.xz`]
    const all = [...names, 'agent.example.yaml']
    expect(asked.filter((path) => path.startsWith('/v1/'))).toEqual(
      all.map((name) => `/v1/${name}`),
    )
    asked.length = 0
    expect(await one.install(['--from', url], how)).toMatchObject({ code: 0 })
    expect(asked).toEqual(names.slice(0, 3).map((name) => `/v1/${name}`))
  })

  onMachine('half a download is told as such, and nothing is left of it', async () => {
    const one = ready()
    const before = one.tree()
    const url = await cutting(one)
    const said = await one.install(['--from', url], how)
    expect(said.code).toBe(1)
    expect(error(said)).toMatch(/^Cannot (download|use) .*agent-linux/)
    expect(one.tree()).toEqual(before)
  })

  onMachine('a URL that is not that of a release is told', async () => {
    const one = ready()
    const { url } = serve(one)
    const said = await one.install(['--from', `${url}/other`], how)
    expect(said.code).toBe(1)
    expect(error(said)).toMatch(/^Cannot download http.*SHA256SUMS: .*404/)
  })

  onMachine('a machine without a network is told to bring the release', async () => {
    const one = ready()
    const said = await one.install(['--from', 'http://release.example/v1'], {
      ...how,
      offline: true,
    })
    expect(said.code).toBe(1)
    expect(error(said)).toMatch(/^Cannot download http:\/\/release.example\/v1\/SHA256SUMS: ./)
    expect(hint(said)).toContain('--from DIR')
  })
})

describe('over TLS', () => {
  onMachine.each(['curl', 'wget'])('%s trusts the CA that is named, and no other', async (tool) => {
    const one = machineWithRelease()
    elsewhere(one)
    const how = tool === 'curl' ? HERE : without('curl')
    const tls = certificate(one)
    const { url } = serve(one, tls)
    const none = await one.install(['--from', url], how)
    expect(error(none)).toContain('there is no CA bundle on this machine')
    expect(hint(none)).toContain('ca-certificates')
    one.write('/etc/ssl/certs/ca-certificates.crt', otherCa(one))
    const other = await one.install(['--from', url], how)
    expect(error(other)).toContain('its server is not trusted: ')
    one.write('/tmp/ca.pem', tls.cert)
    expect(await one.install(['--from', url, '--ca', '/tmp/ca.pem'], how)).toMatchObject({
      code: 0,
    })
  })
})

onMachine('without curl and wget it says what to do', async () => {
  const one = machineWithRelease()
  elsewhere(one)
  const before = one.tree()
  const said = await one.install(['--from', 'http://127.0.0.1:9/v1'], without('curl', 'wget'))
  expect(error(said)).toBe('Cannot download http://127.0.0.1:9/v1: there is neither curl nor wget')
  expect(hint(said)).toContain('--from DIR')
  expect(one.tree()).toEqual(before)
})

onMachine('without xz the .gz is fetched, and without both the executable as it is', async () => {
  const one = machineWithRelease()
  elsewhere(one)
  const { url, asked } = serve(one)
  await one.install(['--from', url], without('xz'))
  expect(asked).toContain(`/v1/${EXECUTABLE}.gz`)
  putRelease(one, { version: '2.0.0' })
  expect(await one.install(['--from', url], without('xz', 'gzip'))).toMatchObject({ code: 0 })
  expect(asked).toContain(`/v1/${EXECUTABLE}`)
})

onMachine('the script works through a pipe, too', async () => {
  const one = machineWithRelease()
  const { url } = serve(one)
  const how = { script: '-s', stdin: one.read('/release/install.sh') }
  expect(await one.install(['--', '--from', url], how)).toMatchObject({ code: 0 })
  expect(await one.install(['--', '--from', url, '--token-stdin'], how)).toMatchObject({ code: 1 })
  expect(await one.install(['--'], how)).toMatchObject({ code: 2 })
})

/** A server that says how long a file is, and closes after a half of it where it is an executable. */
async function cutting(one: Machine): Promise<string> {
  putRelease(one, { ballast: 200_000 })
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (data) => {
      const name = /^GET \/(\S+)/.exec(data.toString())?.[1] ?? ''
      const bytes = readFileSync(one.path(`/release/${name}`))
      const most = name.startsWith('agent-') ? bytes.length / 2 : bytes.length
      socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nConnection: close\r\n\r\n`,
      )
      socket.end(bytes.subarray(0, most))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function certificate(one: Machine): { cert: string; key: string } {
  const [cert, key] = [one.path('/tmp/cert.pem'), one.path('/tmp/cert-key.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  spawnSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject])
  const pair = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  for (const file of [cert, key]) rmSync(file)
  return pair
}

const otherCa = (one: Machine): string => certificate(one).cert
