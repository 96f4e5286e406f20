import type * as v from 'valibot'
import type { agentSchema } from './schema.ts'

/**
 * agent.yaml after checking: every default filled in, lengths of time in milliseconds, paths absolute (relative ones
 * are taken from the directory of agent.yaml), `${VAR}` replaced, secrets as Secret, value sources tagged by `from`.
 *
 * The types are made from the schema; what each member means stands there and in docs/reference/agent-yaml.md.
 */
export type Config = v.InferOutput<ReturnType<typeof agentSchema>>

/** One of the targets, told apart by `kind`; `name` is filled in. */
export type TargetConfig = Config['targets'][number]
export type FilesTargetConfig = Extract<TargetConfig, { kind: 'files' }>
export type KymaTargetConfig = Extract<TargetConfig, { kind: 'kyma' }>
export type KubernetesTargetConfig = Extract<TargetConfig, { kind: 'kubernetes' }>
export type DaprTargetConfig = Extract<TargetConfig, { kind: 'dapr' }>
export type HookConfig = FilesTargetConfig['onChange'][number]
export type BindingTypeRule = FilesTargetConfig['types'][number]

export type { ObjectName } from './cluster-names.ts'
export type { ValueSource } from './value.ts'
