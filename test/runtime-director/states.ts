import { Secret } from '../../src/model/secret.ts'
import type { DesiredState } from '../../src/runtime-director/state.ts'

export const KEY = new Secret('5e'.repeat(32))

/** A state of some size that holds a text and a secret. */
export function stateWith(text: string): DesiredState {
  const metadata = { name: 'one' }
  return {
    runtimes: Array.from({ length: 200 }, (_, i) => ({
      ...{ id: `r${i}`, labels: {}, groups: ['all'], identities: [`cn-${i}`] },
    })),
    configurations: [
      {
        name: 'one',
        match: { all: true },
        resources: [{ apiVersion: 'v1', kind: 'Text', metadata, text }],
      },
    ],
    overlays: [],
    secrets: { pw: 'a-secret-in-the-store' },
  }
}
