// @ts-check
/**
 * Runs a program in the foreground as if it were this process: same terminal, signals passed on, its exit status given
 * back. Plain JavaScript, as setup.mjs needs it before anything is installed.
 *
 * Ctrl-C is sent by the terminal to the whole process group, so the child has it already: passing it on would look like
 * a second, impatient Ctrl-C. Without a terminal (a supervisor, `kill`) only this process gets it, so it is passed on.
 * npm passes signals on too; what comes within half a second is the same request.
 */
import { spawn } from 'node:child_process'

/** @typedef {{ code: number, signal?: NodeJS.Signals }} Ended */

/** @type {NodeJS.Signals[]} */
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP']
const SAME_REQUEST_MS = 500

/**
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<Ended>} rejects only when the program cannot be started
 */
export function runChild(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: 'inherit' })
  const stopPassing = passSignalsTo(child)
  const stopWatching = stopWithNpm(child)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      resolve(signal === null ? { code: code ?? 1 } : { code: 1, signal })
    })
  }).finally(() => {
    stopPassing()
    stopWatching()
  })
}

/**
 * Ends this process as the child ended, by the same signal where there was one.
 *
 * @param {Ended} ended
 */
export function endAs(ended) {
  if (ended.signal === undefined) process.exit(ended.code)
  process.kill(process.pid, ended.signal)
}

/** @param {import('node:child_process').ChildProcess} child */
function passSignalsTo(child) {
  let passedAt = -Infinity
  /** @param {NodeJS.Signals} signal */
  const pass = (signal) => {
    const now = performance.now()
    if (signal === 'SIGINT' && process.stdin.isTTY) return
    if (now - passedAt < SAME_REQUEST_MS) return
    passedAt = now
    child.kill(signal)
  }
  for (const signal of PASSED_ON) process.on(signal, pass)
  return () => {
    for (const signal of PASSED_ON) process.off(signal, pass)
  }
}

/**
 * When npm is killed outright, nobody is left who would stop us: a changed parent shows it.
 *
 * @param {import('node:child_process').ChildProcess} child
 */
function stopWithNpm(child) {
  if (process.env['npm_lifecycle_event'] === undefined) return () => undefined
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid !== parent) child.kill('SIGTERM')
  }, 1000)
  return () => {
    clearInterval(timer)
  }
}
