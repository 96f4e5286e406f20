import type { MapEntry, YamlNode } from './yaml.ts'

/** Where a path leads; for a key that is missing, to what should have held it. */
export type Located = {
  node?: YamlNode
  offset: number
  /** Of the last key on the way. */
  keyOffset: number
  /** Something on the way is broken. */
  broken: boolean
}

/** Follows a path of keys and indexes from a node on. */
export function locate(root: YamlNode, path: readonly (string | number)[]): Located {
  let at: Located & { node: YamlNode } = {
    node: root,
    offset: root.offset,
    keyOffset: root.offset,
    broken: root.broken,
  }
  for (const step of path) {
    const found = child(at.node, step)
    if (found === undefined)
      return { offset: at.offset, keyOffset: at.keyOffset, broken: at.broken }
    const { node, keyOffset } = found
    at = { node, keyOffset, offset: node.offset, broken: at.broken || node.broken }
  }
  return at
}

function child(node: YamlNode, step: string | number): MapEntry | undefined {
  if (node.kind === 'map') return node.entries.get(String(step))
  const item = node.kind === 'list' && typeof step === 'number' ? node.items[step] : undefined
  return item && { node: item, keyOffset: item.offset }
}
