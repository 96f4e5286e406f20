import type { SourceStatus } from '../model/status.ts'

/** How much a source has, in words. */
export function sourceCounts({
  name,
  applications,
  bundles,
  documents,
  refused = 0,
}: SourceStatus): string {
  if (name === 'director') return `${applications ?? '-'} applications, ${bundles ?? '-'} bundles`
  const more = refused === 0 ? '' : `, ${refused} not applied`
  return `${documents ?? '-'} documents${more}`
}
