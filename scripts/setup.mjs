// @ts-check
/**
 * What every npm script goes through: makes node_modules right, finds Bun in it and hands over to scripts/<verb>.ts.
 *
 * Plain JavaScript without a dependency, as it runs on a machine that has only Node (20 or later) and npm. Bun comes as
 * an npm package: its own install script moves the executable to node_modules/bun/bin; where install scripts are
 * switched off it is still in node_modules/@oven/bun-<platform>/bin. Expected trouble (no network, an old Node, a
 * read-only directory) ends in one line, never in a stack trace.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endAs, runChild } from './child.mjs'
import { bunPackage } from './platform.mjs'

const VERBS = [
  'start',
  'test',
  'build',
  'check',
  'conformance',
  'bench',
  'soak',
  'envtest',
  'golden',
  'release',
  'image',
]
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const STAMP = join(MODULES, '.stamp')

/** Trouble that a person can mend; its message is all that is printed. */
class Trouble extends Error {}

try {
  const [verb = '', ...args] = process.argv.slice(2)
  checkRequest(verb)
  const bun = await prepare()
  const flags = ['--no-orphans', '--no-env-file', join(ROOT, 'scripts', `${verb}.ts`)]
  endAs(await runChild(bun, [...flags, ...args], { cwd: ROOT }))
} catch (error) {
  if (!(error instanceof Trouble)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

/** @param {string} verb */
function checkRequest(verb) {
  if (Number(process.versions.node.split('.')[0]) < 20)
    throw new Trouble(
      `Cannot run on Node ${process.versions.node}: Node 20 or later is needed to set up (https://nodejs.org)`,
    )
  if (!VERBS.includes(verb))
    throw new Trouble(`Cannot run '${verb}': want one of ${VERBS.join(', ')}`)
}

/** Makes node_modules right if it is not, and returns the path of the Bun executable. */
async function prepare() {
  const wanted = wantedStamp()
  if (readIfThere(STAMP) === wanted) {
    const bun = findBun()
    if (bun !== undefined) return bun
  }
  return await whileLocked(() => {
    if (readIfThere(STAMP) !== wanted && installedAsLocked()) remember(wanted)
    if (readIfThere(STAMP) !== wanted || findBun() === undefined) install()
    const bun = findBun()
    if (bun === undefined) throw new Trouble(missingBun())
    checkRuns(bun)
    remember(wanted)
    return bun
  })
}

/** What node_modules was installed for: this lock file on this platform (a volume may be shared by containers). */
function wantedStamp() {
  const lock = readIfThere(join(ROOT, 'package-lock.json'))
  if (lock === undefined) throw new Trouble('Cannot set up: package-lock.json is missing')
  return `${createHash('sha256').update(lock).digest('hex')} ${bunPackage()}\n`
}

/** True when an `npm ci` that a person typed has already put exactly the locked packages in place. */
function installedAsLocked() {
  const hidden = packagesOf(join(MODULES, '.package-lock.json'))
  const locked = packagesOf(join(ROOT, 'package-lock.json'))
  return Object.entries(locked).every(([path, { integrity, optional }]) => {
    if (path === '' || (optional === true && hidden[path] === undefined)) return true
    return hidden[path]?.integrity === integrity && fs.existsSync(join(ROOT, path, 'package.json'))
  })
}

/**
 * @param {string} file
 * @returns {Record<string, { integrity?: string, optional?: boolean, version?: string }>}
 */
function packagesOf(file) {
  const text = readIfThere(file)
  if (text === undefined) return {}
  try {
    return JSON.parse(text).packages ?? {}
  } catch {
    throw new Trouble(
      `Cannot set up: ${basename(file)} is not JSON; delete node_modules and try again`,
    )
  }
}

function install() {
  try {
    fs.accessSync(ROOT, fs.constants.W_OK)
  } catch {
    throw new Trouble(
      `Cannot install the packages: this user may not write in ${ROOT}; copy the repository to a place of your own`,
    )
  }
  process.stderr.write('Installing the packages of package-lock.json (npm ci) …\n')
  const run = npm([
    'ci',
    '--include=dev',
    '--include=optional',
    '--loglevel=error',
    '--no-progress',
  ])
  if (run.error !== undefined)
    throw new Trouble('Cannot install the packages: npm was not found; it comes with Node')
  if (run.signal !== null)
    throw new Trouble(`Cannot install the packages: npm was stopped (${run.signal})`)
  if (run.status !== 0) throw new Trouble(installFailure(`${run.stdout}\n${run.stderr}`))
}

/** @param {string[]} args */
function npm(args) {
  const options = /** @type {const} */ ({ cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 })
  const running = process.env['npm_execpath']
  return running !== undefined && basename(running) === 'npm-cli.js'
    ? spawnSync(process.execPath, [running, ...args], options)
    : spawnSync('npm', args, options)
}

/** @param {string} output */
function installFailure(output) {
  const why = [
    [
      /EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ENETUNREACH|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT/,
      'the package registry cannot be reached; check the network, or the proxy (npm config get https-proxy)',
    ],
    [
      /SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER|UNABLE_TO_VERIFY|CERT_HAS_EXPIRED/,
      'the certificate of the package registry is not trusted; give npm the CA of your network (npm config set cafile FILE)',
    ],
    [/EROFS|EACCES|EPERM/, `npm may not write in ${ROOT} or in its cache`],
    [/ENOSPC/, 'the disk is full'],
    [
      /EINTEGRITY/,
      'a package is not the one in package-lock.json; do not go on before you know why',
    ],
    [
      /EUSAGE/,
      'package-lock.json does not fit package.json; run npm install and commit the lock file',
    ],
    [/ETARGET|E404/, 'the package registry does not have a package of package-lock.json'],
  ].find(([pattern]) => /** @type {RegExp} */ (pattern).test(output))
  const code = /npm error code (\S+)/.exec(output)?.[1] ?? 'no code'
  if (why !== undefined) return `Cannot install the packages: ${String(why[1])} (${code})`
  const last = output.split('\n').filter((line) => /^npm error(?! A complete log)/.test(line))
  return `Cannot install the packages: npm ci failed (${code})\n${last.slice(0, 10).join('\n')}`
}

/** Where Bun may be: put in place by its install script, or left where the package manager unpacked it. */
function findBun() {
  const moved = join(MODULES, 'bun', 'bin', 'bun.exe')
  const unpacked = join(MODULES, '@oven', bunPackage(), 'bin', 'bun')
  return [moved, unpacked].find(isExecutable)
}

/** @param {string} path */
function isExecutable(path) {
  // Before the install script has run, node_modules/bun/bin/bun.exe is a text of some hundred bytes.
  return (fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 1_000_000
}

function missingBun() {
  const name = `@oven/${bunPackage()}`
  return packagesOf(join(ROOT, 'package-lock.json'))[`node_modules/${name}`] === undefined
    ? `Cannot start Bun: it is not made for this machine (no package ${name})`
    : `Cannot start Bun: its package ${name} was not installed; run npm ci --include=optional`
}

/** @param {string} bun */
function checkRuns(bun) {
  const run = spawnSync(bun, ['--version'], { encoding: 'utf8' })
  if (run.status === 0) return
  const why = run.signal ?? run.error?.message ?? run.stderr.trim().split('\n')[0]
  throw new Trouble(`Cannot start Bun: ${bun} does not run on this machine (${why})`)
}

/**
 * Two of us at once (npm start here, npm test there) would delete each other's node_modules.
 *
 * @template T
 * @param {() => T} work
 */
async function whileLocked(work) {
  const lock = join(ROOT, '.cache', 'setup.lock')
  let told = false
  while (!takeLock(lock)) {
    if (!told) process.stderr.write('Waiting for another npm script that installs the packages …\n')
    told = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  try {
    return work()
  } finally {
    fs.rmSync(lock, { force: true })
  }
}

/** @param {string} lock */
function takeLock(lock) {
  try {
    fs.mkdirSync(join(ROOT, '.cache'), { recursive: true })
    fs.writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    // A directory that cannot be written cannot be spoilt by two either; install() says what is wrong with it.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return true
  }
  if (!isHeld(lock)) fs.rmSync(lock, { force: true })
  return false
}

/**
 * By a process that runs, or for a moment by one that has not yet written its number.
 *
 * @param {string} lock
 */
function isHeld(lock) {
  const holder = Number(readIfThere(lock))
  if (holder > 0) return isRunning(holder)
  const since = fs.statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return Date.now() - since < 5000
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** @param {string} stamp */
function remember(stamp) {
  try {
    if (readIfThere(STAMP) !== stamp) fs.writeFileSync(STAMP, stamp)
  } catch {
    // Read-only, but complete: it is looked at again the next time.
  }
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
