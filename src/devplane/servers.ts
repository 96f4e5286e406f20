import type { Duration } from '../model/time.ts'
import { systemClock } from '../runtime/clock.ts'
import { listen, type Listener } from '../runtime/listen.ts'
import { serverCertificate, type Authorities } from './authority.ts'
import type { Port } from './call.ts'
import type { PlaneCore } from './core.ts'
import { handlerOf } from './exchange.ts'

/** Ports to listen on; 0 is any free one. */
export type Ports = { token: number; mtls: number }

export type ServerSettings = { names: readonly string[]; lifetime: Duration }

/** The two TLS servers of a plane: one for one-time tokens, one for client certificates. */
export interface Servers {
  readonly ports: Ports
  /** Closes all connections and listens again on the same ports, with another certificate. */
  restart(settings: ServerSettings): Promise<void>
  close(): Promise<void>
}

/** Opens both servers. Throws `listen_failed` when a port is taken. */
export async function openServers(
  core: PlaneCore,
  options: { host: string; ports: Ports; settings: ServerSettings },
): Promise<Servers> {
  const { host } = options
  let open = await listenBoth(core, options)
  const ports = { token: portOf(open.token), mtls: portOf(open.mtls) }
  return {
    ports,
    async restart(settings) {
      await closeBoth(open)
      open = await listenBoth(core, { host, ports, settings })
    },
    close: () => closeBoth(open),
  }
}

type Both = { [P in Port]: Listener }

async function listenBoth(
  core: PlaneCore,
  options: { host: string; ports: Ports; settings: ServerSettings },
): Promise<Both> {
  const { host, ports, settings } = options
  // The dates of server certificates are for TLS libraries, which look at the real clock and at no other.
  const now = systemClock.now()
  const certificate = await serverCertificate(core.authorities, { ...settings, now })
  const { serverKey, client }: Authorities = core.authorities
  const identity = { key: serverKey.privateKeyPem, certificate, minVersion: 'TLSv1.2' } as const
  const token = await listen(handlerOf('token', core), { host, port: ports.token }, identity)
  try {
    const clients = { clientCa: client.certificate, requestClientCertificate: 'required' } as const
    const at = { host, port: ports.mtls }
    const mtls = await listen(handlerOf('mtls', core), at, { ...identity, ...clients })
    return { token, mtls }
  } catch (thrown) {
    await token.close()
    throw thrown
  }
}

async function closeBoth({ token, mtls }: Both): Promise<void> {
  await Promise.all([token.close(), mtls.close()])
}

function portOf(listener: Listener): number {
  return listener.port ?? 0
}
