/** A plane that is known by other addresses than its own, each behind a witness of who connects. */
import { landscapeFor } from './landscape.ts'
import type { LandscapeFile } from './landscape.ts'
import { openHome, temporaryDirectory } from './agent-home.ts'
import type { AgentHome } from './agent-home.ts'
import { startPlane } from './plane-process.ts'
import type { PlaneProcess } from './plane-process.ts'
import { openWitness } from './witness.ts'
import type { Witness } from './witness.ts'

/** How the plane may be called. Only the first cannot be found without a proxy that knows it. */
const NAMES = ['compass.test', 'both.test', 'localhost', '0.0.0.0', '127.0.0.1', '::', '::1']

export type Site = {
  readonly plane: PlaneProcess
  readonly landscape: LandscapeFile
  /** Where all connections came from since the last time this was asked. */
  seen(): string[]
  /** From now on the plane names itself so: `compass.test`, `[::1]`. A name leads to an address of one family. */
  callIt(host: string, family?: Family): Promise<void>
  /** A home with a token that leads to what the plane is called now. */
  home(runtime: string): Promise<AgentHome>
  close(): Promise<void>
}

export async function openSite(runtimes: readonly string[]): Promise<Site> {
  const landscape = landscapeFor(runtimes)
  const plane = await startPlane({ directory: temporaryDirectory(), landscape })
  const real = plane.addresses()
  const witnesses = await Promise.all(
    [real.tokenUrl, real.mtlsConnectorUrl].map(async (url) => ({
      v4: await openWitness(Number(new URL(url).port)),
      v6: await openWitness(Number(new URL(url).port), '::1'),
    })),
  )
  const all = witnesses.flatMap((both) => [both.v4, both.v6])
  const [token, mtls] = witnesses as [Both, Both]
  let connector = ''
  return {
    plane,
    landscape,
    seen: () => all.flatMap(({ from }) => from.splice(0)),
    async callIt(host, family = host.startsWith('[') ? 'v6' : 'v4') {
      const at = (witness: Both, path: string): string =>
        `https://${host}:${witness[family].port}/${path}/graphql`
      connector = at(token, 'connector')
      await plane.knobs({
        serverNames: NAMES,
        directorUrl: at(mtls, 'director'),
        connectorUrl: at(mtls, 'connector'),
      })
    },
    async home(runtime) {
      const home = openHome({ ca: plane.ca })
      const encoded = await plane.token(runtime)
      const decoded = JSON.parse(atob(encoded)) as Record<string, unknown>
      home.giveToken(btoa(JSON.stringify({ ...decoded, connectorURL: connector })))
      return home
    },
    async close() {
      await plane.close()
      await Promise.all(all.map((witness) => witness.close()))
    },
  }
}

type Family = 'v4' | 'v6'
type Both = Record<Family, Witness>
