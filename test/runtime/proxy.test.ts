import { describe, expect, test } from 'bun:test'
import { proxyFor } from '../../src/runtime/proxy.ts'

const PROXY = 'http://proxy.example:3128'

function via(url: string, env: Record<string, string>, except?: string[]): string | undefined {
  const settings = except === undefined ? {} : { except }
  return proxyFor(new URL(url), settings, (name) => env[name])?.href
}

describe('the environment', () => {
  test.each([
    ['https://a.example', { HTTPS_PROXY: PROXY }, `${PROXY}/`],
    [
      'https://a.example',
      { https_proxy: 'http://low.example', HTTPS_PROXY: PROXY },
      'http://low.example/',
    ],
    ['https://a.example', { HTTP_PROXY: PROXY }, undefined],
    ['http://a.example', { HTTP_PROXY: PROXY }, `${PROXY}/`],
    ['https://a.example', { ALL_PROXY: PROXY }, `${PROXY}/`],
    ['https://a.example', { HTTPS_PROXY: 'proxy.example:3128' }, `${PROXY}/`],
    ['https://a.example', {}, undefined],
    ['https://localhost', { HTTPS_PROXY: PROXY }, undefined],
    ['https://127.0.0.1:8443', { HTTPS_PROXY: PROXY }, undefined],
    ['https://[::1]', { HTTPS_PROXY: PROXY }, undefined],
    ['https://[::ffff:127.0.0.1]', { HTTPS_PROXY: PROXY }, undefined],
    ['https://localhost.', { HTTPS_PROXY: PROXY }, undefined],
    ['https://[fd00::1]', { HTTPS_PROXY: PROXY }, `${PROXY}/`],
    ['https://a.example', { https_proxy: ' ', HTTPS_PROXY: ` ${PROXY} ` }, `${PROXY}/`],
    ['https://a.example', { HTTPS_PROXY: 'http://[fd00::5]:3128' }, 'http://[fd00::5]:3128/'],
    ['https://a.example', { HTTPS_PROXY: PROXY, NO_PROXY: 'a.example' }, undefined],
    ['https://a.example', { HTTPS_PROXY: PROXY, no_proxy: 'x, a.example' }, undefined],
  ])('sends %s with %o through %p', (url, env, proxy) => {
    expect(via(url, env)).toBe(proxy)
  })
})

describe('an exception', () => {
  test.each([
    ['*', 'https://a.example', true],
    ['a.example', 'https://a.example', true],
    ['A.EXAMPLE', 'https://a.example', true],
    ['a.example', 'https://b.a.example', true],
    ['a.example', 'https://ba.example', false],
    ['.a.example', 'https://b.a.example', true],
    ['.a.example', 'https://a.example', false],
    ['*.a.example', 'https://b.a.example', true],
    ['a.example:8443', 'https://a.example:8443', true],
    ['a.example:8443', 'https://a.example', false],
    ['a.example:443', 'https://a.example', true],
    ['10.0.0.0/8', 'https://10.200.3.4', true],
    ['10.0.0.0/8', 'https://11.0.0.1', false],
    ['10.1.2.3', 'https://10.1.2.3', true],
    ['0.0.0.0/0', 'https://10.1.2.3', true],
    ['192.168.1.128/25', 'https://192.168.1.200', true],
    ['192.168.1.128/25', 'https://192.168.1.5', false],
    ['fd00::1', 'https://[fd00::1]', true],
    ['[fd00::1]', 'https://[fd00::1]', true],
    ['fd00::1', 'https://[fd00::2]', false],
    ['FD00:0:0:0::1', 'https://[fd00::1]', true],
    ['[fd00::1]:8443', 'https://[fd00::1]:8443', true],
    ['[fd00::1]:8443', 'https://[fd00::1]', false],
    ['fd00::1:8443', 'https://[fd00::1]:8443', false],
    ['fd00::/8', 'https://[fd12:3456::1]', true],
    ['fd00::/8', 'https://[fe80::1]', false],
    ['fd00:0:0:10::/60', 'https://[fd00:0:0:1f::1]', true],
    ['fd00:0:0:10::/60', 'https://[fd00:0:0:20::1]', false],
    ['::/0', 'https://[2001:db8::1]', true],
    ['::/0', 'https://10.1.2.3', false],
    ['0.0.0.0/0', 'https://[2001:db8::1]', false],
    ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]', true],
    ['10.0.0.0/33', 'https://10.1.2.3', false],
    ['10.0.0.0/', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://a.example', false],
    ['10.1.2', 'https://10.1.2.3', false],
    ['a.example.', 'https://a.example', true],
    ['a.example', 'https://a.example.', true],
    ['', 'https://a.example', false],
  ])('%p for %p goes directly: %p', (exception, url, direct) => {
    expect(via(url, { HTTPS_PROXY: PROXY, NO_PROXY: exception }) === undefined).toBe(direct)
    expect(via(url, { HTTPS_PROXY: PROXY }, [exception]) === undefined).toBe(direct)
  })
})

test('a proxy of agent.yaml is not subject to the environment', () => {
  const env = (name: string): string | undefined => ({ NO_PROXY: '*', HTTPS_PROXY: PROXY })[name]
  const url = new URL('https://a.example')
  expect(proxyFor(url, { url: 'http://own.example' }, env)?.href).toBe('http://own.example/')
  expect(proxyFor(url, { url: 'http://own.example', except: ['.example'] }, env)).toBeUndefined()
})

describe('a proxy that is none is told by where it is named, and not shown:', () => {
  test.each([
    ['http://user:canary@proxy:port', 'it is no URL'],
    ['http://user:12/canary@proxy:3128', 'its user or password holds a character that ends them'],
    ['user:12#canary@proxy:3128', 'its user or password holds a character that ends them'],
    ['socks5://user:canary@proxy:1080', 'it is a proxy for socks5, want http or https'],
    ['http://', 'it is no URL'],
  ])('%s', (text, why) => {
    const env = (name: string): string | undefined => ({ https_proxy: text })[name]
    const look = (): unknown => proxyFor(new URL('https://a.example'), {}, env)
    expect(look).toThrow(`Cannot use the proxy of https_proxy: ${why}`)
    expect(look).not.toThrow('canary')
  })
})
