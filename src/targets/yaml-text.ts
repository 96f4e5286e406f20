import { dump } from 'js-yaml'
import type { ConfigValue } from '../model/config-value.ts'
import { canonicalJson } from '../model/digest.ts'

/**
 * A document as YAML text, secrets in clear. All text is quoted: readers of YAML 1.1 take `on`, `1_0` and `12:30` for
 * something else. Keys are in one order, whatever order they were read in.
 */
export function yamlText(document: ConfigValue): string {
  const ordered: unknown = JSON.parse(canonicalJson(document))
  return dump(ordered, { forceQuotes: true, quoteStyle: 'double', lineWidth: -1, noRefs: true })
}
