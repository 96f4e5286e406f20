import { openConnector } from '../clients/connector.ts'
import { openDirector } from '../clients/director.ts'
import { openRuntimeDirector } from '../clients/runtime-director.ts'
import type { GraphqlSession } from '../clients/graphql.ts'
import { MINUTE } from '../model/time.ts'
import type { Duration, Instant } from '../model/time.ts'
import { openHttp } from '../runtime/http.ts'
import type { HttpSession, TlsClient } from '../runtime/http.ts'
import type { ProxySettings } from '../runtime/proxy.ts'
import type { Compass } from './ports.ts'

export type CompassOptions = {
  /** PEM blocks of further roots; read again when a server is not believed. */
  ca: NonNullable<TlsClient['ca']>
  proxy?: ProxySettings
  insecureSkipVerify: boolean
  /** Asked for each call: it may come later or change. */
  tenant?: string | (() => string | undefined)
  /** `configuration` of agent.yaml. */
  runtimeDirector?: { url: string; maxBytes: number }
  version: string
  now(): Instant
  /** Of one request; those of clients/http.ts when missing. */
  limits?: NonNullable<GraphqlSession['limits']>
}

/**
 * A server that waits for a change does not answer for a minute: whether it is there at all must not be tried with a
 * second connection before that.
 */
const PATIENCE: Duration = 2 * MINUTE

/** Compass over the network: one HTTP session an identity, shared by Connector and Director. */
export function openCompass(options: CompassOptions): Compass {
  const { ca, insecureSkipVerify, version, now } = options
  let answer: { at: Instant; skew: Duration } | undefined
  const onServerDate = (server: Instant): void => {
    const at = now()
    answer = { at, skew: server - at }
  }
  const open = (identity?: TlsClient['identity'], connectTimeout?: Duration): HttpSession =>
    openHttp({
      ...(connectTimeout === undefined ? {} : { connectTimeout }),
      tls: { ca, insecureSkipVerify, ...(identity === undefined ? {} : { identity }) },
      ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    })
  const at = (url: string, { fetch }: HttpSession): GraphqlSession => ({
    url,
    fetch,
    now,
    version,
    onServerDate,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })
  return {
    lastAnswer: () => answer,
    enrolment(url) {
      const http = open()
      return { connector: openConnector(at(url, http)), close: () => http.close() }
    },
    session({ key, chain, plane }) {
      const http = open({ key, chain })
      const { tenant, runtimeDirector } = options
      const session = {
        connector: openConnector(at(plane.connectorUrl, http)),
        director: openDirector({ ...at(plane.directorUrl, http), tenant }),
        close: () => http.close(),
      }
      if (runtimeDirector === undefined) return session
      const patient = open({ key, chain }, PATIENCE)
      const { fetch } = patient
      return {
        ...session,
        runtimeDirector: openRuntimeDirector({ ...runtimeDirector, fetch, now, version }),
        async close() {
          await Promise.all([http.close(), patient.close()])
        },
      }
    },
  }
}
