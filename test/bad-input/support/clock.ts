/** A wall clock that shows what a test wants, for one program: a small library that is loaded before the C library. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../../e2e/support/agent-home.ts'
import { skipUnless } from '../../skip.ts'

const canCompile = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0

/** `test` for what needs a clock that is wrong. */
export const withClock = skipUnless(canCompile, {
  why: 'there is no C compiler (or this is not Linux), so that no program can be shown a wrong clock',
  how: 'apt-get install gcc libc6-dev',
})

// Reads the offset anew each time, so that the clock can be set while the program runs.
const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset;

static void open_offset(void) {
  if (offset) return;
  const char *path = getenv("FAKE_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *map = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  static long none;
  offset = map == MAP_FAILED ? &none : map;
}

int clock_gettime(clockid_t id, struct timespec *out) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  open_offset();
  int code = real(id, out);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) out->tv_sec += *offset;
  return code;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  static int (*real)(struct timeval *restrict, void *restrict);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  open_offset();
  int code = real(out, zone);
  out->tv_sec += *offset;
  return code;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
`

export type FakeWallClock = {
  /** For the program that is to see it. */
  readonly env: Record<string, string>
  /** So many seconds ahead of the real one from now on; negative: behind. */
  set(seconds: number): void
}

export function fakeWallClock(seconds: number): FakeWallClock {
  const directory = temporaryDirectory()
  const [source, library, file] = ['clock.c', 'clock.so', 'offset'].map((n) => join(directory, n))
  writeFileSync(source!, SOURCE)
  const args = ['-shared', '-fPIC', '-O1', '-o', library!, source!, '-ldl']
  const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cc: ${stderr}`)
  const set = (offset: number): void => {
    const bytes = new BigInt64Array([BigInt(offset)])
    // In place: the program has the file mapped.
    writeFileSync(file!, new Uint8Array(bytes.buffer), { flag: 'r+' })
  }
  writeFileSync(file!, new Uint8Array(8))
  set(seconds)
  return { env: { LD_PRELOAD: library!, FAKE_CLOCK: file! }, set }
}
