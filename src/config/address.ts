/** A TCP address to listen at. `host` is a name or an IP address, IPv6 without brackets. */
export type Address = { host: string; port: number }

/** `HOST:PORT`, IPv6 in brackets. */
const ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)):(\d{1,5})$/

/** The address of a text like `127.0.0.1:8090` or `[::1]:8090`; undefined when it is none. Port 0: any free one. */
export function parseAddress(text: string): Address | undefined {
  const match = ADDRESS.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || !(port <= 65535) ? undefined : { host, port }
}

/** Whether only programs of this machine can reach the host: `localhost`, 127.0.0.0/8, `::1` (in brackets or not). */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host)
}
