/** A directory of resources, one for secrets and a state directory for one test, with a daprd over it where it needs one. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSidecar } from '../../src/clients/dapr.ts'
import type { DaprTargetConfig } from '../../src/config/config.ts'
import type { Auth } from '../../src/model/application.ts'
import type { ConfigObject } from '../../src/model/config-value.ts'
import { bindingName } from '../../src/model/names.ts'
import { planChanges } from '../../src/model/plan.ts'
import { Secret } from '../../src/model/secret.ts'
import { markComplete } from '../../src/model/snapshot.ts'
import type { ConfigDocument, Desired } from '../../src/model/target.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { openDapr } from '../../src/targets/dapr.ts'
import type { DaprOptions } from '../../src/targets/dapr.ts'
import type { DaprReader } from '../../src/targets/dapr-sidecars.ts'
import type { Target } from '../../src/targets/target.ts'
import { api, application, bare, desired, RUNTIME } from '../model/samples.ts'

export type DaprSettings = Partial<Omit<DaprOptions, 'config'>> & {
  config?: Partial<DaprTargetConfig>
}

export const STORE = `ucl-secrets-${RUNTIME.slice(0, 8)}`

export class DaprPlace {
  readonly base: string
  readonly resources: string
  readonly secrets: string
  readonly state: string
  readonly file: string

  constructor() {
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
    this.base = mkdtempSync(join(parent, 'agent-dapr-'))
    this.resources = join(this.base, 'resources')
    this.secrets = join(this.base, 'secrets')
    this.state = join(this.base, 'state')
    this.file = join(this.resources, `ucl-${RUNTIME.slice(0, 8)}.yaml`)
    mkdirSync(this.resources)
    mkdirSync(this.state, { mode: 0o700 })
  }

  /** `sidecars`: addresses of those that are asked. */
  open(settings: DaprSettings = {}, sidecars: readonly string[] = []): Target {
    return openDapr({
      agent: 'default',
      stateDirectory: this.state,
      digestKey: new Secret('key of digests'),
      readers: sidecars.map((url) => reader(url)),
      // It waits 50 ms for each change, which tests that look at files only need not.
      clock:
        sidecars.length === 0 ? { ...systemClock, sleep: () => Promise.resolve() } : systemClock,
      ...settings,
      config: {
        kind: 'dapr',
        name: 'dapr',
        resources: this.resources,
        otherResources: [],
        secrets: this.secrets,
        scopes: [],
        applications: true,
        endpoints: 'needed',
        types: ['bindings.*', 'state.*', 'pubsub.*', 'middleware.http.*'],
        config: [],
        sidecars: [],
        ...settings.config,
      },
    })
  }

  /** Our file; empty when there is none. */
  get text(): string {
    return existsSync(this.file) ? readFileSync(this.file, 'utf8') : ''
  }

  get secretsFiles(): string[] {
    return existsSync(this.secrets)
      ? readdirSync(this.secrets).filter((name) => name.startsWith('secrets-'))
      : []
  }

  remove(): void {
    rmSync(this.base, { recursive: true, force: true })
  }
}

/** A clock on which everything but daprd takes a fifth of its time. */
export const hurried: Clock = {
  now: () => 5 * Date.now(),
  sleep: (length, signal) => systemClock.sleep(length / 5, signal),
}

export function reader(url: string, reload: DaprReader['reload'] = 'hot'): DaprReader {
  return { sidecar: openSidecar({ url, fetch, now: () => Date.now() }), reload }
}

export type DaprPass = {
  results: [key: string, outcome: string, code: string | undefined][]
  /** Codes of what is wrong with sources, and with the target afterwards. */
  problems: string[]
  after: string[]
}

/** One pass without a guard, whatever comes of it. */
export async function run(target: Target, want: Desired): Promise<DaprPass> {
  const { signal } = new AbortController()
  const observed = await target.observe(RUNTIME, signal)
  const rendered = target.render(want, observed)
  const plan = { target: target.name, changes: planChanges(rendered, observed, want) }
  const results = await target.apply(plan, signal)
  const after = (await target.verify?.(plan, signal)) ?? []
  return {
    results: results.map(({ key, outcome, problem }) => [key, outcome, problem?.code]),
    problems: rendered.problems.map(({ problem }) => problem.code),
    after: after.map(({ code }) => code),
  }
}

/** One application with one bundle for each of the APIs given, all at one address. */
export function calls(url: string, auths: Record<string, Auth | undefined>): Desired {
  const bundles = Object.entries(auths).map(([id, auth]) => {
    const made = bare(id, { apis: [{ ...api(`${id}-api`, url), name: id }] })
    return auth === undefined ? made : { ...made, auth }
  })
  return desired([application('app', { name: 'crm', bundles })])
}

/** The name that {@link calls} gives the binding and the endpoint of one of its bundles. */
export function nameOf(id: string): string {
  return bindingName('crm', { id: `${id}-api`, name: id })
}

/** Waits until it holds; says so when it does not. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, within = 5000) {
  const end = Date.now() + within
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${within} ms`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** A Component as the Runtime Director gives it; `bindings.http` unless `spec` says otherwise. */
export function component(name: string, spec: ConfigObject = {}): ConfigObject {
  return {
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Component',
    metadata: { name },
    spec: {
      type: 'bindings.http',
      version: 'v1',
      metadata: spec['type'] === undefined ? [{ name: 'url', value: 'http://127.0.0.1:9' }] : [],
      ...spec,
    },
  }
}

/** Documents of the Runtime Director, beside what is desired already. */
export function configured(documents: ConfigObject[], others: Desired): Desired {
  return { ...others, configuration: markComplete(documents.map(documentOf)) }
}

function documentOf(document: ConfigObject): ConfigDocument {
  const { apiVersion, kind, metadata } = document as Record<'apiVersion' | 'kind', string> & {
    metadata: { name: string; namespace?: string }
  }
  const { name, namespace } = metadata
  const id = `${apiVersion}/${kind}/${namespace ?? ''}/${name}`
  return { id, apiVersion, kind, name, document, ...(namespace === undefined ? {} : { namespace }) }
}
