/** Rotates one credential of many again and again while its binding is called, and counts what goes wrong. */
import { basic, numbers } from '../model/samples.ts'
import type { Daprd, Echo } from '../daprd-server.ts'
import { calls, nameOf, run } from './dapr-place.ts'
import type { DaprPlace } from './dapr-place.ts'

export type Rotations = {
  /** From the begin of a pass until a call has the new credential, in milliseconds, sorted. */
  reached: number[]
  /** Rotations whose credential had not reached the calls when their pass had ended, and 250 ms after that. */
  missed: number
  calls: number
  /** Calls that daprd answered with another status than 200, and those of another reason than that it reloads. */
  failed: number
  other: number
  /** Calls that reached the API without Authorization. */
  bare: number
}

type Scene = { daprd: Daprd; echo: Echo; place: DaprPlace }

export async function rotations(
  { daprd, echo, place }: Scene,
  { count, bindings, rate }: { count: number; bindings: number; rate: number },
): Promise<Rotations> {
  const told: Rotations = { reached: [], missed: 0, calls: 0, failed: 0, other: 0, bare: 0 }
  const want = (password: string) =>
    calls(
      echo.url,
      Object.fromEntries(
        numbers(bindings).map((n) => [`b${n}`, basic('user', n === 0 ? password : 'same')]),
      ),
    )
  const target = place.open({}, [daprd.url])
  await run(target, want('first'))
  let waiting: { body: string; seen: (at: number) => void } | undefined
  const call = async (): Promise<void> => {
    const { status, body } = await daprd.call(nameOf('b0'))
    told.calls += 1
    if (status !== 200) {
      told.failed += 1
      if (!body.includes('ERR_INVOKE_OUTPUT_BINDING')) told.other += 1
    } else if (body === 'none') told.bare += 1
    else if (body === waiting?.body) waiting.seen(performance.now())
  }
  const under = new Set<Promise<void>>()
  const timer = setInterval(() => {
    const one = call().catch(() => void (told.other += 1))
    under.add(one)
    void one.then(() => under.delete(one))
  }, 1000 / rate)
  try {
    for (const n of numbers(count)) {
      const started = performance.now()
      const body = `Basic ${btoa(`user:p${n}`)}`
      const seen = new Promise<number>((resolve) => (waiting = { body, seen: resolve }))
      await run(target, want(`p${n}`))
      const late = new Promise<undefined>((resolve) => setTimeout(resolve, 250))
      const reached = await Promise.race([seen, late])
      if (reached === undefined) told.missed += 1
      else told.reached.push(reached - started)
    }
  } finally {
    clearInterval(timer)
    await Promise.all(under)
  }
  told.bare += echo.seen.filter(({ authorization }) => authorization === undefined).length
  told.reached.sort((a, b) => a - b)
  return told
}
