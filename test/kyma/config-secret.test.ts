import { describe, expect } from 'bun:test'
import { SECRETS } from '../../src/clients/kubernetes/api.ts'
import type { KubeObject, Kubernetes } from '../../src/clients/kubernetes/api.ts'
import { openConfigSecret, openSecretToken } from '../../src/kyma/config-secret.ts'
import { AgentError } from '../../src/model/problem.ts'
import { toBase64 } from '../../src/runtime/base64.ts'
import { until } from '../e2e/support/program.ts'
import { kubeForTests, needsKube } from '../kube.ts'

const never = new AbortController().signal

describe('the configuration Secret of Compass Manager', () => {
  const kube = kubeForTests()
  let count = 0

  async function open(kubernetes: Kubernetes = kube().client) {
    count += 1
    const secret = { namespace: 'kyma-system', name: `configuration-${count}` }
    await kube().namespace(secret.namespace)
    let others = 0
    const otherRuntime = (): void => void (others += 1)
    const config = openConfigSecret({ kubernetes, secret, now: () => Date.now(), otherRuntime })
    return {
      config,
      secret,
      others: () => others,
      async write(values: Record<string, string>): Promise<void> {
        const data = Object.fromEntries(
          Object.entries(values).map(([key, text]) => [key, toBase64(text)]),
        )
        const object: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: secret, data }
        await kube().applyManifests([object])
      },
    }
  }

  const FULL = {
    CONNECTOR_URL: 'https://connector.example/graphql',
    RUNTIME_ID: '0d6b3f0c-3b0e-4b5e-9f4e-2f6f0a4f8f11',
    TENANT: '3e64ebae-38b5-46a0-b1ed-9ccee153a0ae',
    TOKEN: 'one',
  }

  needsKube('may come later, and each of its keys may change', async () => {
    const { config, write, others } = await open()
    expect(await config.token.read()).toBeUndefined()
    expect([config.connectorUrl(), config.runtimeId(), config.tenant()]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    await write(FULL)
    await until('it is seen', async () => (await config.token.read()) !== undefined)
    expect((await config.token.read())?.reveal()).toBe('one')
    expect(config.connectorUrl()).toBe(FULL.CONNECTOR_URL)
    expect(config.runtimeId()).toBe(FULL.RUNTIME_ID)
    expect(config.tenant()).toBe(FULL.TENANT)
    expect(others()).toBe(1)
    await write({ ...FULL, TOKEN: ' two\n' })
    await until('the new one is seen', async () => (await config.token.read())?.reveal() === 'two')
    expect(others()).toBe(1)
    await write({ ...FULL, TENANT: 'other' })
    await until('the tenant is seen', () => config.tenant() === 'other')
    expect(others()).toBe(2)
    config.close()
  })

  needsKube('with values that are none, names the key and never the value', async () => {
    const { config, write, secret } = await open()
    await write({
      CONNECTOR_URL: 'http://s3cret.example',
      RUNTIME_ID: 's3cret id',
      TENANT: 'a\r\nb',
    })
    expect(await config.token.read()).toBeUndefined()
    for (const [key, code, read] of [
      ['CONNECTOR_URL', 'connector_url_missing', () => config.connectorUrl()],
      ['RUNTIME_ID', 'runtime_mismatch', () => config.runtimeId()],
      ['TENANT', 'tenant_wrong', () => config.tenant()],
    ] as const) {
      const error = thrownBy(read)
      expect(error.code).toBe(code)
      expect(error.message).toStartWith(`Cannot use ${key} of Secret kyma-system/${secret.name}:`)
      expect(error.message).not.toContain('s3cret')
    }
    config.close()
  })

  needsKube('without the right to read it, says which is missing', async () => {
    await kube().applyManifests(
      'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: default}',
    )
    const nobody = await kube().as({ namespace: 'default', name: 'nobody' })
    const { config, secret } = await open(nobody)
    const error = await config.token.read().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ code: 'token_unreadable' })
    expect(String(error)).toContain(`Secret kyma-system/${secret.name}`)
    expect(String(error)).toContain('lacks the right to get secrets')
    config.close()
  })

  needsKube('a token in any Secret is seen when it changes', async () => {
    const { secret, write, config } = await open()
    config.close()
    const kubernetes = kube().client
    const token = openSecretToken({ kubernetes, secret, key: 'mine', now: () => Date.now() })
    expect(await token.read()).toBeUndefined()
    await write({ mine: 'one', other: 'x' })
    await until('it is seen', async () => (await token.read())?.reveal() === 'one')
    await kubernetes.remove(SECRETS, secret, {}, never)
    await until('it is gone', async () => (await token.read()) === undefined)
    token.close()
  })
})

function thrownBy(work: () => unknown): AgentError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof AgentError) return thrown
    throw thrown
  }
  throw new Error('it throws nothing')
}
