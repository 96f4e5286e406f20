/**
 * Bundles were once called packages, and the Director still takes the old words: it replaces them in the raw body before
 * it parses it, also inside string values, and then writes the old keys into the answer (reference/observed-compass.md §4).
 */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/packageByInstanceAuth/g, 'bundleByInstanceAuth'],
  [/packageInstanceAuth/g, 'bundleInstanceAuth'],
  [/addPackage/g, 'addBundle'],
  [/updatePackage/g, 'updateBundle'],
  [/deletePackage/g, 'deleteBundle'],
  [/setPackageInstanceAuth/g, 'setBundleInstanceAuth'],
  [/requestPackageInstanceAuth/g, 'requestBundleInstanceAuth'],
  [/packageID/g, 'bundleID'],
  [/Package(CreateInput|InstanceAuthRequestInput|InstanceAuthSetInput|UpdateInput)/g, 'Bundle$1'],
  [/packages(\s*:\s*\[)/g, 'bundles$1'],
  [/packages(\s*\{)/g, 'bundles$1'],
  [/package(\s*\(\s*id\s*:\s*)/g, 'bundle$1'],
]

/** A body with the new words. It is the same text when there was none of the old ones. */
export function rewriteRequest(body: string): string {
  if (!/package/i.test(body)) return body
  return WORDS.reduce((text, [word, by]) => text.replace(word, by), body)
}

/** The answer to a body that was rewritten. */
export function rewriteAnswer(body: string): string {
  return body
    .replace(/"bundles"(\s*:\s*\{)/g, '"packages"$1')
    .replace(/"bundle"(\s*:\s*\{)/g, '"package"$1')
}
