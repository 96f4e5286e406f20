import { findKustomize } from '../../scripts/envtest.ts'
import { needsKube } from '../kube.ts'
import type { Account, AuditEntry, Kube } from '../kube.ts'
import { needsKustomize, overlay, OVERLAYS } from './overlays.ts'
import type { Overlay } from './overlays.ts'

/** deploy/kubernetes on a real API server, and calls with the token of the account that it gives the agent. */

/** `test` for what applies manifests to a real API server. */
export const needsCluster = findKustomize() === undefined ? needsKustomize : needsKube

export const ACCOUNTS: Record<Overlay, Account> = {
  standalone: { namespace: 'runtime-agent', name: 'runtime-agent' },
  'kyma-drop-in': { namespace: 'kyma-system', name: 'compass-runtime-agent' },
  sidecar: { namespace: 'orders', name: 'runtime-agent' },
}

/** Namespaces that people make before; runtime-agent comes with its overlay. */
const NAMESPACES = ['kyma-system', 'istio-system', 'integrations', 'orders', 'elsewhere']

/** All overlays in one cluster: what one of them gives must not be had by the account of another. */
export async function install(kube: Kube): Promise<void> {
  for (const name of NAMESPACES) await kube.namespace(name)
  for (const name of OVERLAYS) await kube.applyManifests(overlay(name))
}

export type Reply = { status: number; body: Record<string, unknown> }

/** A call as it is, to any path. */
export type Caller = (
  method: string,
  path: string,
  body?: unknown,
  contentType?: string,
) => Promise<Reply>

export async function callerOf(kube: Kube, account: Account | 'admin'): Promise<Caller> {
  const token = account === 'admin' ? kube.adminToken : await kube.token(account)
  return async (method, path, body, contentType = 'application/json') => {
    const answer = await fetch(kube.url + path, {
      method,
      tls: { ca: kube.ca },
      headers: { authorization: `Bearer ${token.reveal()}`, 'content-type': contentType },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, body: (await answer.json()) as Reply['body'] }
  }
}

/** What the account of an overlay has asked the API server so far. */
export function callsOf(kube: Kube, overlay: Overlay): AuditEntry[] {
  const { namespace, name } = ACCOUNTS[overlay]
  const account = `system:serviceaccount:${namespace}:${name}`
  return kube.auditLog().filter(({ user }) => user === account)
}
