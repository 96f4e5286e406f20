import { Secret } from '../../../src/model/secret.ts'
import { DAY } from '../../../src/model/time.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { runCommand } from '../../../src/runtime/command.ts'
import { certificateInfo, generateRsaKey, hmac } from '../../../src/runtime/keys.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { cpuUsage, isTerminal, memoryUsage, runtimeName } from '../../../src/runtime/process.ts'
import { check, same } from './harness.ts'
import { startHelper } from './helpers.ts'
import { pki } from './http.ts'

const never = new AbortController().signal

/** Commands, signals, keys, log, clock, process. */
export function checkRest(): void {
  check('the runtime knows its name and what it uses', () => {
    const wanted = 'Bun' in globalThis ? 'bun' : 'Deno' in globalThis ? 'deno' : 'node'
    same(runtimeName, wanted)
    same([memoryUsage().rss > 1e7, cpuUsage() > 0, isTerminal('stdin')], [true, true, false])
  })
  check('a command gives code and output, without our environment', async () => {
    const script = 'echo "$RUNTIME_AGENT_CHANGED$AGENT_RUNTIME_COMMAND" >&2; exit 3'
    const found = await runCommand(['/bin/sh', '-c', script], {
      timeout: 5000,
      signal: never,
      env: { RUNTIME_AGENT_CHANGED: 'a b' },
    })
    same(found, { code: 3, output: 'a b\n' })
    same((await runCommand(['/no/such/thing'], { timeout: 5000, signal: never })).code, 127)
  })
  check('a command is killed with its grandchildren at its time-out', async () => {
    const begin = Date.now()
    const script = 'sh -c "sleep 60; true" & echo $!; sleep 60'
    const { code, killed, output } = await runCommand(['/bin/sh', '-c', script], {
      timeout: 300,
      signal: never,
    })
    same([code, killed, Date.now() - begin < 10_000], [137, 'timeout', true])
    same(await isGone(Number(output.trim())), true)
  })
  check('signals reach their handler', async () => {
    for (const name of ['SIGTERM', 'SIGHUP'] as const) {
      const helper = startHelper(['signal'])
      same(await helper.line(), 'ready')
      helper.child.kill(name)
      same(await helper.line(), name)
    }
  })
  check('a reader that went away is no error', async () => {
    const helper = startHelper(['print'])
    helper.child.stdout?.destroy()
    const code = await new Promise((resolve) => helper.child.once('exit', resolve))
    same(code, 0)
  })
  check('a new RSA key fits its certificate only', async () => {
    const { privateKeyPem, publicKeyPem } = await generateRsaKey(2048)
    same(privateKeyPem.reveal().startsWith('-----BEGIN PRIVATE KEY-----'), true)
    same(publicKeyPem.startsWith('-----BEGIN PUBLIC KEY-----'), true)
    const all = await pki()
    const info = certificateInfo(all.first.certificate)
    same(info.publicKeyMatches(all.first.key), true)
    same(info.publicKeyMatches(privateKeyPem), false)
    same([info.issuedBy(all.ca), info.issuedBy(all.otherCa)], [true, false])
    same([info.subject, info.notAfter - info.notBefore], ['CN=first,O=Org', 10 * DAY])
  })
  check('an HMAC is that of RFC 4231', () => {
    const wanted = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
    same(hmac(new Secret('Jefe'), 'what do ya want for nothing?'), wanted)
  })
  check('the log shows no secret', () => {
    const lines: string[] = []
    const log = openLog({ level: 'info', format: 'json', write: (line) => lines.push(line) })
    log.debug('not shown')
    log.info('shown', { token: new Secret('canary'), deep: [{ a: new Secret('canary') }] })
    same([lines.length, lines.join('').includes('canary')], [1, false])
    same(lines.join('').includes('"token":"[secret]"'), true)
  })
  check('a sleep of forty days ends when it is aborted, not before', async () => {
    const stop = new AbortController()
    let ended = false
    const sleep = systemClock.sleep(40 * DAY, stop.signal).then(() => (ended = true))
    await systemClock.sleep(30, never)
    same(ended, false)
    stop.abort()
    await sleep
  })
}

/** A process that nobody has waited for yet is still there as a zombie: it runs no more. Deno may not read /proc itself. */
async function isGone(pid: number): Promise<boolean> {
  const asked = ['/bin/cat', `/proc/${pid}/status`]
  const { code, output } = await runCommand(asked, { timeout: 5000, signal: never })
  return code !== 0 || /^State:\s+[ZX]/m.test(output)
}
