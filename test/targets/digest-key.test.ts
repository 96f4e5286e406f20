import { expect, test } from 'bun:test'
import { lstatSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadDigestKey } from '../../src/targets/digest-key.ts'
import { Output } from './output.ts'

test('the key of digests is made once, private, and made anew when it is damaged', async () => {
  const output = new Output()
  const path = join(output.state, 'digest.key')
  const made = await loadDigestKey(output.state)
  expect(made.reveal()).toMatch(/^[0-9a-f]{64}$/)
  expect(lstatSync(path).mode & 0o777).toBe(0o600)
  expect((await loadDigestKey(output.state)).equals(made)).toBe(true)
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 20))
  const again = await loadDigestKey(output.state)
  expect(again.equals(made)).toBe(false)
  expect((await loadDigestKey(output.state)).equals(again)).toBe(true)
  output.remove()
})
