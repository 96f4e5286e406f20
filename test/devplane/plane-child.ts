/** A plane in a process of its own, which its parent may kill: prints its URLs as one line of JSON. */
import { SAMPLE_LANDSCAPE } from '../../src/devplane/landscape-sample.ts'
import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import { openPlane } from '../../src/devplane/plane.ts'

const directory = process.argv[2]
if (directory === undefined) throw new Error('want a directory')
const plane = await openPlane({ directory, landscape: parseLandscape(SAMPLE_LANDSCAPE) })
const { tokenUrl, mtlsConnectorUrl, directorUrl, adminUrl, caPem } = plane
process.stdout.write(
  `${JSON.stringify({ tokenUrl, mtlsConnectorUrl, directorUrl, adminUrl, caPem })}\n`,
)
