import type { Row } from '../../scripts/bench.ts'
import { startDaprd, startEcho } from '../daprd-server.ts'
import type { Daprd, Echo } from '../daprd-server.ts'
import { basic, numbers } from '../model/samples.ts'
import { calls, DaprPlace, nameOf, run as pass } from '../targets/dapr-place.ts'
import { rotations } from '../targets/dapr-rotations.ts'

export const name = 'Target dapr: a real daprd, its bindings called while credentials rotate'

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  await scene(async (daprd, echo, place) => {
    const told = await rotations({ daprd, echo, place }, { count: 500, bindings: 20, rate: 80 })
    const { reached, calls: made, failed, other, bare, missed } = told
    rows.push(
      {
        what: 'rotated credential reaches calls, 20 bindings: median',
        ...ms(at(reached, 0.5)),
        goal: '≤ 250 ms',
      },
      { what: 'the same: longest of 500', ...ms(at(reached, 1)), goal: '≤ 250 ms' },
      { what: 'rotations missed', value: missed, unit: 'of 500', goal: '0' },
      { what: 'calls without Authorization', value: bare, unit: `of ${made}`, goal: '0' },
      {
        what: 'failed calls',
        value: (100 * failed) / made,
        unit: '%',
        goal: '≤ 0.2 %',
        note: `${failed} of ${made}`,
      },
      {
        what: 'failed other than by ERR_INVOKE_OUTPUT_BINDING',
        value: other,
        unit: 'calls',
        goal: '0',
      },
    )
  })
  for (const count of [50, 200]) {
    await scene(async (daprd, echo, place) => {
      const told = await rotations({ daprd, echo, place }, { count: 20, bindings: count, rate: 20 })
      rows.push({
        what: `rotated credential reaches calls, ${count} bindings: median`,
        ...ms(at(told.reached, 0.5)),
        note: `longest ${at(told.reached, 1).toFixed(0)} ms; daprd compares all with all at each change`,
      })
    })
  }
  await scene(async (daprd, echo, place) => {
    const target = place.open({}, [daprd.url])
    const all = (password: string) =>
      calls(
        echo.url,
        Object.fromEntries(
          numbers(200).map((n) => [`b${n}`, basic('user', n === 7 ? password : 'same')]),
        ),
      )
    await pass(target, all('first'))
    const mark = daprd.logMark()
    await pass(target, all('second'))
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const closed = [...daprd.log(mark).matchAll(/Closing existing Component to reload: (\S+)/g)]
    const others = closed.filter(
      ([, one]) => one !== nameOf('b7') && one?.startsWith('ucl-secrets') !== true,
    )
    const started = performance.now()
    await pass(target, all('second'))
    rows.push(
      {
        what: 'one of 200 changed: others reloaded',
        value: others.length,
        unit: 'bindings',
        goal: '0',
      },
      { what: 'a pass over 200 bindings that changes nothing', ...ms(performance.now() - started) },
    )
  })
  return rows
}

async function scene(
  work: (daprd: Daprd, echo: Echo, place: DaprPlace) => Promise<void>,
): Promise<void> {
  const place = new DaprPlace()
  const echo = await startEcho()
  const daprd = await startDaprd({ directory: place.base })
  try {
    await work(daprd, echo, place)
  } finally {
    await daprd.stop()
    await echo.close()
    place.remove()
  }
}

function ms(value: number): Pick<Row, 'value' | 'unit'> {
  return { value, unit: 'ms' }
}

function at(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN
}
