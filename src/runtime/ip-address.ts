/*
 * IP addresses as bytes: 4 or 16 of them. An IPv4 address in the clothes of IPv6 (`::ffff:10.0.0.1`) is the IPv4 address
 * that it leads to.
 */

/** The bytes of an address, IPv6 with or without brackets; undefined when the text is none. */
export function ipBytes(text: string): number[] | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const bytes = text.split('.').map(Number)
    return bytes.every((byte) => byte < 256) ? bytes : undefined
  }
  const bare = text.replace(/^\[(.*)\]$/, '$1')
  // Whatever is valid is brought into one form by the URL parser, which all runtimes have.
  if (!/^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(bare) || !URL.canParse(`http://[${bare}]`))
    return undefined
  return withoutMapping(expanded(new URL(`http://[${bare}]`).hostname.slice(1, -1)))
}

/** Of an address in its shortest form: groups of hexadecimal digits, and `::` for some that are zero. */
function expanded(shortest: string): number[] {
  const [head = [], tail = []] = shortest
    .split('::')
    .map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail]
    .map((group) => parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 0xff])
}

const MAPPED = '0,0,0,0,0,0,0,0,0,0,255,255'

function withoutMapping(bytes: number[]): number[] {
  return bytes.slice(0, 12).join() === MAPPED ? bytes.slice(12) : bytes
}

/** Whether the address is in a block such as `10.0.0.0/8` or `fd00::/8`, of its own family. */
export function isInBlock(address: readonly number[], block: string): boolean {
  const [base = '', length = ''] = block.split('/')
  const start = ipBytes(base)
  if (start?.length !== address.length || !/^\d{1,3}$/.test(length)) return false
  const bits = Number(length)
  if (bits > address.length * 8) return false
  return address.every((byte, index) => {
    const ours = Math.min(Math.max(bits - index * 8, 0), 8)
    const mask = 0xff & (0xff << (8 - ours))
    return (byte & mask) === ((start[index] ?? 0) & mask)
  })
}

/** 127.0.0.0/8 and ::1. */
export function isLoopbackAddress(address: readonly number[]): boolean {
  return isInBlock(address, '127.0.0.0/8') || isInBlock(address, '::1/128')
}
