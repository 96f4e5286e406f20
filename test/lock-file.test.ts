import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageJson } from '../scripts/repository.ts'
import { ROOT } from './source.ts'

type Locked = { version?: string; resolved?: string; integrity?: string; link?: boolean }

const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
const packages = JSON.parse(text).packages as Record<string, Locked>
const installed = Object.entries(packages).filter(([path]) => path !== '')

test('the lock file names no place to download from, so that any registry serves it', () => {
  expect(installed.filter(([, { resolved }]) => resolved !== undefined)).toEqual([])
  expect(text).not.toMatch(/\.tgz|registry/)
})

test('the lock file pins every package by its checksum', () => {
  expect(installed.filter(([, one]) => !one.integrity?.startsWith('sha512-'))).toEqual([])
})

test('package.json asks for exact versions, which are the locked ones', () => {
  const { dependencies, devDependencies } = packageJson()
  const asked = Object.entries({ ...dependencies, ...devDependencies })
  expect(asked.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  const other = asked.filter(
    ([name, version]) => packages[`node_modules/${name}`]?.version !== version,
  )
  expect(other).toEqual([])
})

test('the lock file holds Bun for every platform that the product is made for', () => {
  const wanted = [
    'linux-x64',
    'linux-aarch64',
    'linux-x64-musl',
    'linux-aarch64-musl',
    'darwin-aarch64',
  ]
  const missing = wanted.filter((name) => packages[`node_modules/@oven/bun-${name}`] === undefined)
  expect(missing).toEqual([])
})
