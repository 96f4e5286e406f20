import { expect, test } from 'bun:test'
import { statusText } from '../../src/cli/status-text.ts'
import { problem } from '../../src/model/problem.ts'
import type { Status } from '../../src/model/status.ts'
import { renderMetrics } from '../../src/server/metrics.ts'
import { renderPage } from '../../src/server/page.ts'
import { statusFixture } from './status.fixture.ts'

const { at, sources, targets } = statusFixture()
const status: Status = statusFixture({
  sources: [
    ...sources,
    {
      name: 'runtime-director',
      nextAt: at,
      failures: 0,
      lastSuccess: at,
      documents: 2,
      refused: 1,
      listening: true,
    },
  ],
  targets: [
    {
      ...targets[0]!,
      held: [
        {
          target: 'files',
          slice: 'configuration',
          kind: 'mass',
          hash: 'abc',
          since: at,
          applications: 0,
          bundles: 0,
          documents: 7,
          names: [],
          reason: 'too many',
        },
      ],
    },
  ],
  configuration: {
    fetchedAt: at,
    documents: [
      {
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'Component',
        namespace: 'apps',
        name: 'logging<b>',
        condition: 'synced',
        problems: [],
      },
      {
        apiVersion: 'dapr.io/v1alpha1',
        kind: 'Component',
        name: 'tracing',
        condition: 'problem',
        problems: [problem('name_taken', 'Cannot publish Component tracing')],
      },
    ],
    refused: [],
    reported: { at, state: 'partly' },
  },
})

test('the page shows the documents, what is wrong with them, and what was told of them', async () => {
  const page = String(await renderPage(status, at))
  expect(page).toContain('2 documents, 1 not applied, listens for changes')
  expect(page).toContain('Configuration (2, told as partly)')
  expect(page).toContain('apps/logging&lt;b&gt;')
  expect(page).toContain('Cannot publish Component tracing')
  expect(String(await renderPage(statusFixture(), at))).not.toContain('Configuration (')
})

test('the terminal shows the source with its documents', () => {
  expect(statusText(status, at, true)).toMatch(
    /from runtime-director +2 documents, 1 not applied, 0ms ago/,
  )
})

test('metrics count documents, what is not applied, and what waits to go', () => {
  const text = renderMetrics(status, { memory: 1, cpu: 1 })
  expect(text).toContain('agent_source_documents{source="runtime-director"} 2\n')
  expect(text).toContain('agent_source_refused{source="runtime-director"} 1\n')
  expect(text).toContain('agent_target_held_documents{target="files",kind="files"} 7\n')
  expect(text).not.toContain('agent_source_applications{source="runtime-director"}')
})
