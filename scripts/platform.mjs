// @ts-check
/** Which machine this is, in the words of Bun's npm packages. Plain JavaScript, as setup.mjs reads it under Node. */

/** The npm package under @oven/ that holds Bun for this machine, for example `bun-linux-x64-musl`. */
export function bunPackage() {
  const arch = process.arch === 'arm64' ? 'aarch64' : process.arch
  return `bun-${process.platform}-${arch}${isMusl() ? '-musl' : ''}`
}

function isMusl() {
  if (process.platform !== 'linux') return false
  const report = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  )
  return report.header?.glibcVersionRuntime === undefined
}
