/**
 * Which Host headers are served: addresses as numbers, `localhost`, and the name that was configured. A name is what a
 * hostile page would use to reach a loopback server from a browser (DNS rebinding); a number is not.
 */
export function hostRule(configured: string): (host: string | undefined) => boolean {
  return (host) => {
    if (host === undefined) return false
    const name = host.replace(/:\d{1,5}$/, '').toLowerCase()
    return name === 'localhost' || name === configured.toLowerCase() || isNumeric(name)
  }
}

function isNumeric(name: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[0-9a-f:.]+\]$/.test(name)
}
