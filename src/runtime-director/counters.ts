/** What one server has done since it started, for metrics. */
export interface Counters {
  add(what: keyof typeof COUNTED): void
  all(): { name: string; help: string; value: number }[]
}

const COUNTED = {
  requests: 'Requests of agents.',
  sent: 'Answers with a configuration.',
  unchanged: 'Answers that nothing has changed.',
  reports: 'Reports taken.',
}

export function openCounters(): Counters {
  const counts = new Map<string, number>()
  return {
    add: (what) => counts.set(what, (counts.get(what) ?? 0) + 1),
    all: () =>
      Object.entries(COUNTED).map(([name, help]) => ({ name, help, value: counts.get(name) ?? 0 })),
  }
}
