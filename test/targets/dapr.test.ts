import { lstatSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaprPlace } from './dapr-place.ts'
import { targetContract } from './target.contract.ts'

targetContract(
  'dapr',
  () => {
    const place = new DaprPlace()
    return {
      open: () => place.open(),
      writes: () =>
        [place.resources, place.secrets]
          .flatMap((directory) => list(directory))
          .map((path) => `${path} ${lstatSync(path).ino}`)
          .join(),
      damage: (_key, name) =>
        writeFileSync(
          place.file,
          place.text.replace(new RegExp(`(name: '${name}'[^]*?value: ')`), '$1tampered'),
        ),
      close: () => place.remove(),
    }
  },
  { shape: { application: () => [], bundle: (id) => [`component/${id}-a`] } },
)

function list(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name))
  } catch {
    return []
  }
}
