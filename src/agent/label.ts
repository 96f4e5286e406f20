import type { Call } from '../clients/connector.ts'
import type { Director } from '../clients/director.ts'
import { canonicalJson } from '../model/digest.ts'

/** Labels that the runtime should have in the Director, JSON values by key. */
export type Labels = Record<string, unknown>

/** What Compass's own UI and the Go agent read. */
const EVENT_GATEWAY_URL = 'runtime_eventServiceUrl'
const CONSOLE_URL = 'runtime_consoleUrl'

export function wantedLabels(config: {
  eventGatewayUrl?: string
  consoleUrl?: string
  custom: Record<string, unknown>
}): Labels {
  return {
    ...(config.eventGatewayUrl === undefined
      ? {}
      : { [EVENT_GATEWAY_URL]: config.eventGatewayUrl }),
    ...(config.consoleUrl === undefined ? {} : { [CONSOLE_URL]: config.consoleUrl }),
    ...config.custom,
  }
}

/** The labels whose value in the Director is another one; labels that nobody asked for are not ours to touch. */
export function labelDifferences(
  wanted: Labels,
  current: Record<string, unknown>,
): [string, unknown][] {
  return Object.entries(wanted).filter(
    ([key, value]) =>
      !Object.hasOwn(current, key) || canonicalJson(value) !== canonicalJson(current[key]),
  )
}

/** Sends what differs and gives back the labels as they are then. */
export async function label(
  director: Director,
  {
    runtimeId,
    wanted,
    current,
  }: { runtimeId: string; wanted: Labels; current: Record<string, unknown> },
  call: Call,
): Promise<Record<string, unknown>> {
  const sent = labelDifferences(wanted, current)
  for (const [key, value] of sent) await director.setRuntimeLabel(runtimeId, key, value, call)
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries([...Object.entries(current), ...sent])
}
