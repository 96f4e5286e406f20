/**
 * Agents as a process of their own: so many that poll now and then, or wait for news, each with a certificate of its own. Told by
 * one line of JSON on stdin, answers by lines of JSON.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'

/** What a process of pollers is told. */
export type PollersTask = {
  ports: number[]
  /** Files. */
  ca: string
  key: string
  /** A JSON list of PEM; that of runtime `r0`, `r1`, … */
  certificates: string
  from: number
  count: number
  mode: 'keep-alive' | 'new' | 'wait'
  /** Seconds between two polls of one agent. */
  interval: number
  /** Seconds. */
  length: number
}

/** What it says at its end. `latencies` are sorted milliseconds. */
export type PollersResult = {
  polls: number
  failed: number
  /** After a second try on another port. */
  lost: number
  latencies: { p50: number; p99: number; max: number }
}

const task = JSON.parse(await Bun.stdin.text()) as PollersTask
const [ca, key] = [readFileSync(task.ca, 'utf8'), readFileSync(task.key, 'utf8')]
const certificates = JSON.parse(readFileSync(task.certificates, 'utf8')) as string[]
const latencies: number[] = []
let [failed, lost] = [0, 0]
const etags = new Map<number, string>()
const say = (line: unknown): void => console.log(JSON.stringify(line))

type Open = {
  socket: TLSSocket
  buffer: string
  answered: ((answer: string) => void) | undefined
  gone: () => void
}

function open(agent: number, port: number): Promise<Open> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, key, cert: certificates[agent] }, () =>
      resolve(one),
    )
    const one: Open = { socket, buffer: '', answered: undefined, gone: () => undefined }
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      one.buffer += chunk
      const end = one.buffer.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = one.buffer.slice(0, end)
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (!head.startsWith('HTTP/1.1 304') && one.buffer.length < end + 4 + length) return
      one.buffer = ''
      one.answered?.(head)
    })
    socket.on('error', reject)
    socket.on('close', () => {
      reject(new Error('closed'))
      one.gone()
    })
  })
}

/** The head of the answer. */
function ask(one: Open, agent: number, wait = 0): Promise<string> {
  const etag = etags.get(agent)
  const headers = [
    'Host: director',
    ...(etag === undefined ? [] : [`If-None-Match: ${etag}`]),
    ...(wait === 0 ? [] : [`Prefer: wait=${wait}`]),
  ]
  return new Promise((resolve, reject) => {
    one.gone = () => reject(new Error('closed'))
    one.answered = (head) => {
      const found = /etag: (\S+)/i.exec(head)?.[1]
      if (found !== undefined) etags.set(agent, found)
      resolve(head)
    }
    one.socket.write(`GET /runtimes/r${agent} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
  })
}

const isGood = (head: string): boolean => /^HTTP\/1\.1 (200|304)/.test(head)
const sleep = (length: number) => new Promise((resolve) => setTimeout(resolve, length))

const kept = new Map<number, Open>()

async function poll(agent: number, port: number): Promise<boolean> {
  try {
    const begin = performance.now()
    const one = kept.get(agent) ?? (await open(agent, port))
    const head = await ask(one, agent)
    latencies.push(performance.now() - begin)
    if (task.mode === 'new') one.socket.destroy()
    else if (!kept.has(agent)) {
      kept.set(agent, one)
      one.socket.once('close', () => kept.delete(agent))
    }
    return isGood(head)
  } catch {
    return false
  }
}

/** One after the other, evenly. */
async function polling(): Promise<void> {
  const end = performance.now() + task.length * 1000
  const step = (task.interval * 1000) / task.count
  const under: Promise<unknown>[] = []
  for (let turn = 0, begin = performance.now(); performance.now() < end; turn += 1) {
    const agent = task.from + (turn % task.count)
    const work = poll(agent, portOf(turn)).then(async (good) => {
      if (good) return
      failed += 1
      kept.delete(agent)
      for (let port = 0; port < task.ports.length; port += 1)
        if (await poll(agent, portOf(turn + port + 1))) return
      lost += 1
    })
    under.push(work)
    const due = begin + (turn + 1) * step - performance.now()
    if (due > 1) await sleep(due)
  }
  await Promise.all(under)
}

const portOf = (turn: number): number => task.ports[turn % task.ports.length]!

/** All at once wait for news; says when all wait, and when the last was woken. */
async function waiting(): Promise<void> {
  const open_: Open[] = []
  for (let at = 0; at < task.count; at += 50)
    open_.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(50, task.count - at) }, async (_, i) => {
          const one = await open(task.from + at + i, portOf(at))
          await ask(one, task.from + at + i)
          return one
        }),
      )),
    )
  let woken = 0
  let first = 0
  const all = open_.map(async (one, i) => {
    const head = await ask(one, task.from + i, 60).catch(() => '')
    if (!head.startsWith('HTTP/1.1 200')) failed += 1
    if (woken === 0) first = Date.now()
    woken += 1
    latencies.push(Date.now())
  })
  await sleep(1000)
  say({ waiting: task.count })
  await Promise.all(all)
  say({ first, last: Math.max(...latencies), failed })
}

if (task.mode === 'wait') await waiting()
else {
  if (task.mode === 'keep-alive') {
    // Connections are made before anything is measured.
    for (let at = 0; at < task.count; at += 20)
      await Promise.all(
        Array.from({ length: Math.min(20, task.count - at) }, (_, i) =>
          poll(task.from + at + i, portOf(at + i)),
        ),
      )
    latencies.length = 0
    say({ connected: kept.size })
  }
  await polling()
  latencies.sort((a, b) => a - b)
  const at = (part: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))] ?? NaN
  const result: PollersResult = {
    ...{ polls: latencies.length, failed, lost },
    latencies: { p50: at(0.5), p99: at(0.99), max: latencies.at(-1) ?? NaN },
  }
  say(result)
}
process.exit(0)
