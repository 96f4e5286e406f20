import type { Status, SourceStatus, TargetStatus } from '../model/status.ts'
import { SECOND } from '../model/time.ts'
import type { Instant } from '../model/time.ts'

/** `memory` in bytes, `cpu` in milliseconds since the process began. */
export type ProcessUsage = { memory: number; cpu: number }

type Sample = { labels?: Record<string, string>; value: number }
type Metric = { name: string; help: string; type: 'gauge' | 'counter'; samples: Sample[] }

const STATES = ['connect', 'sync', 'label', 'renew', 'idle'] as const

/**
 * The status in the Prometheus text exposition format 0.0.4. Points in time are absolute, in seconds, so that an alert
 * on the expiry of the certificate needs no running agent. prom-client would do the same for 17 MB more.
 */
export function renderMetrics(status: Status, usage: ProcessUsage): string {
  return [...allMetrics(status), ...processMetrics(usage)]
    .filter((metric) => metric.samples.length > 0)
    .map(renderMetric)
    .join('')
}

function allMetrics(status: Status): Metric[] {
  return [
    gauge('agent_info', 'Version and name of the agent.', [
      {
        labels: { version: status.version, name: status.name, runtime_id: status.runtimeId ?? '' },
        value: 1,
      },
    ]),
    gauge(
      'agent_state',
      '1 for the state that the agent is in.',
      STATES.map((state) => ({ labels: { state }, value: state === status.state ? 1 : 0 })),
    ),
    gauge('agent_start_time_seconds', 'When the agent started.', [at(status.startedAt)]),
    gauge('agent_paused', '1 while an operator has paused the agent.', [
      { value: Number(status.paused) },
    ]),
    gauge('agent_standby', '1 while another agent is in charge.', [
      { value: Number(status.standby) },
    ]),
    gauge('agent_tls_insecure', '1 when agent.yaml switches TLS verification off.', [
      { value: Number(status.insecure) },
    ]),
    gauge('agent_problems', 'Problems by code and by whose turn it is.', countProblems(status)),
    ...identityMetrics(status),
    ...sourceMetrics(status.sources),
    ...targetMetrics(status.targets),
    gauge(
      'agent_label_in_step',
      '1 when the label of the runtime has the wanted value in the Director.',
      status.labels.map((label) => ({ labels: { key: label.key }, value: Number(label.inStep) })),
    ),
    gauge(
      'agent_clock_skew_seconds',
      'Server time minus local time.',
      optional(status.clockSkew, SECOND),
    ),
  ]
}

function identityMetrics({ identity }: Status): Metric[] {
  if (identity === undefined) return []
  return [
    gauge(
      'agent_identity_not_before_timestamp_seconds',
      'Start of validity of the client certificate.',
      [at(identity.notBefore)],
    ),
    gauge(
      'agent_identity_not_after_timestamp_seconds',
      'End of validity of the client certificate.',
      [at(identity.notAfter)],
    ),
    gauge(
      'agent_identity_renewal_timestamp_seconds',
      'When the client certificate will be renewed.',
      [at(identity.renewAt)],
    ),
  ]
}

function sourceMetrics(sources: SourceStatus[]): Metric[] {
  const per = (value: (source: SourceStatus) => number | undefined, unit = 1) =>
    sources.flatMap((source) => labelled({ source: source.name }, value(source), unit))
  return [
    gauge(
      'agent_source_last_success_timestamp_seconds',
      'Last complete fetch.',
      per((s) => s.lastSuccess, SECOND),
    ),
    gauge(
      'agent_source_failures',
      'Consecutive failed fetches.',
      per((s) => s.failures),
    ),
    gauge(
      'agent_source_applications',
      'Applications of the last complete fetch.',
      per((s) => s.applications),
    ),
    gauge(
      'agent_source_bundles',
      'Bundles of the last complete fetch.',
      per((s) => s.bundles),
    ),
    gauge(
      'agent_source_documents',
      'Documents of the Runtime Director that are applied.',
      per((s) => s.documents),
    ),
    gauge(
      'agent_source_refused',
      'Items of the Runtime Director that are not applied.',
      per((s) => s.refused),
    ),
    gauge(
      'agent_source_requests',
      'Requests of the last complete fetch.',
      per((s) => s.requests),
    ),
  ]
}

function targetMetrics(targets: TargetStatus[]): Metric[] {
  const per = (value: (target: TargetStatus) => number | undefined, unit = 1) =>
    targets.flatMap((target) =>
      labelled({ target: target.name, kind: target.kind }, value(target), unit),
    )
  return [
    gauge(
      'agent_target_last_success_timestamp_seconds',
      'Last pass without a failure.',
      per((t) => t.lastSuccess, SECOND),
    ),
    gauge(
      'agent_target_failures',
      'Consecutive failed passes.',
      per((t) => t.failures),
    ),
    gauge(
      'agent_target_objects',
      'Objects of ours in the target.',
      per((t) => t.objects),
    ),
    gauge(
      'agent_target_changes',
      'Writes of the last pass.',
      per((t) => t.changes),
    ),
    gauge(
      'agent_target_held_applications',
      'Applications whose deletion waits.',
      per((t) => (t.held ?? []).reduce((sum, held) => sum + held.applications, 0)),
    ),
    gauge(
      'agent_target_held_bundles',
      'Bundles of kept applications whose deletion waits.',
      per((t) => (t.held ?? []).reduce((sum, held) => sum + held.bundles, 0)),
    ),
    gauge(
      'agent_target_held_documents',
      'Documents of the Runtime Director whose deletion waits.',
      per((t) => {
        const held = (t.held ?? []).filter(({ slice }) => slice === 'configuration')
        return held.length === 0
          ? undefined
          : held.reduce((sum, { documents = 0 }) => sum + documents, 0)
      }),
    ),
  ]
}

function processMetrics({ memory, cpu }: ProcessUsage): Metric[] {
  const seconds = { value: cpu / SECOND }
  return [
    gauge('process_resident_memory_bytes', 'Resident memory.', [{ value: memory }]),
    {
      ...gauge('process_cpu_seconds_total', 'CPU time, user and system.', [seconds]),
      type: 'counter',
    },
  ]
}

function countProblems(status: Status): Sample[] {
  const counts = new Map<string, Sample>()
  for (const { code, turn } of status.problems) {
    const key = `${code} ${turn}`
    const sample = counts.get(key) ?? { labels: { code, turn }, value: 0 }
    counts.set(key, { ...sample, value: sample.value + 1 })
  }
  return [...counts.values()]
}

function gauge(name: string, help: string, samples: Sample[]): Metric {
  return { name, help, type: 'gauge', samples }
}

function at(instant: Instant): Sample {
  return { value: instant / SECOND }
}

function optional(value: number | undefined, unit: number): Sample[] {
  return labelled(undefined, value, unit)
}

function labelled(
  labels: Record<string, string> | undefined,
  value: number | undefined,
  unit: number,
): Sample[] {
  if (value === undefined || !Number.isFinite(value)) return []
  return [{ ...(labels === undefined ? {} : { labels }), value: value / unit }]
}

function renderMetric({ name, help, type, samples }: Metric): string {
  const lines = samples.map((sample) => `${name}${renderLabels(sample.labels)} ${sample.value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function renderLabels(labels: Record<string, string> = {}): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
