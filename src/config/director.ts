import * as v from 'valibot'
import { DAY, SECOND } from '../model/time.ts'
import { isLoopback } from './address.ts'
import type { Address } from './address.ts'
import { checkText } from './check.ts'
import type { Contradiction } from './contradictions.ts'
import { choice, duration, flag, listenAddress, matching, number, path } from './fields.ts'
import { absolute, directoryOf, isWithin } from './path.ts'
import type { ParseOptions } from './parse.ts'
import type { ConfigProblem } from './problem.ts'
import { isMapping, section } from './section.ts'
import { NAME, WANT_NAME } from './target-name.ts'
import { valueSource } from './value.ts'

/**
 * All of director.yaml, the configuration of the Runtime Director server: what may be written, what it means, and what it
 * becomes. docs/reference/director-yaml.md is printed from it.
 */
export function directorSchema(base: string) {
  return section({
    version: v.pipe(
      v.literal(1, 'the number 1'),
      v.description('Version of this format; always 1.'),
    ),
    directory: path(
      'The desired state: runtimes/, configurations/ and overlays/. Read only; never written by the server.',
      base,
      'a directory path',
      ['/etc/runtime-director/desired'],
    ),
    secrets: v.exactOptional(
      path(
        'Files that {secretRef: NAME} stands for, each 0600 and named NAME. Outside of the desired state.',
        base,
        'a directory path',
        ['/etc/runtime-director/secrets'],
      ),
    ),
    state: v.optional(
      path(
        'Where the server keeps what it must not lose: the SQLite file and the key, mode 0700.',
        base,
        'a directory path',
      ),
      '/var/lib/runtime-director',
    ),
    listen: v.optional(
      listenAddress('Where agents ask, by mutual TLS. off: only the commands work.'),
      '0.0.0.0:8443',
    ),
    tls: tlsSection('Certificate and key of this server, as PEM files.', base),
    clients: v.pipe(
      section({
        ca: path('PEM of the authorities that sign runtimes.', base, 'a file path', [
          '/etc/runtime-director/clients-ca.pem',
        ]),
      }),
      v.description('Who may connect. Whom of them it answers says admission.'),
    ),
    admission: v.optional(
      choice(
        'What happens with a certificate that no runtime lists: manual is 403 until it is admitted; first-use admits it to a runtime that has none yet.',
        ['manual', 'first-use'],
      ),
      'manual',
    ),
    store: v.optional(storeSection(base), {}),
    watch: v.optional(
      flag('Publish by itself when the desired state has changed and is valid.'),
      false,
    ),
    rollout: v.optional(rolloutSection, {}),
    history: v.optional(historySection, {}),
    admin: v.optional(adminSection(base), {}),
    log: v.optional(logSection, {}),
  })
}

/** director.yaml after checking, made from the schema. */
export type DirectorConfig = v.InferOutput<ReturnType<typeof directorSchema>>

export type AdminToken = DirectorConfig['admin']['tokens'][number]

/** Checks the text of director.yaml as a whole. Pure, and never throws. */
export function parseDirectorConfig(
  text: string,
  { file, cwd, env }: ParseOptions,
): { config: DirectorConfig; problems?: never } | { config?: never; problems: ConfigProblem[] } {
  const base = directoryOf(absolute(file, cwd))
  const { output, problems } = checkText(text, {
    schema: directorSchema(base),
    file,
    env,
    contradictions: (value) => contradictions(value, base),
    want: 'version: 1',
  })
  return problems === undefined ? { config: output } : { problems }
}

function tlsSection(about: string, base: string) {
  return v.pipe(
    section({
      certificate: path('PEM, the server first.', base, 'a file path', [
        '/etc/runtime-director/server.pem',
      ]),
      key: path('PEM, unencrypted.', base, 'a file path', ['/etc/runtime-director/server.key']),
    }),
    v.description(about),
  )
}

function storeSection(base: string) {
  return v.pipe(
    section({
      postgres: v.exactOptional(
        valueSource(
          'A PostgreSQL URL, for several servers on one store. Missing: SQLite in the state directory.',
          base,
        ),
      ),
      key: v.exactOptional(
        path(
          'The key that published versions are encrypted with: 64 hexadecimal digits, mode 0600. Missing: store.key in the state directory, made when the store is new. All servers of a store need the same.',
          base,
          'a file path',
          ['/etc/runtime-director/store.key'],
        ),
      ),
      migrate: v.optional(
        choice(
          'start brings the tables up to date at start; manual leaves that to agent runtime-director migrate.',
          ['start', 'manual'],
        ),
        'start',
      ),
    }),
    v.description('Where versions, admissions, reports and audit are kept.'),
  )
}

const WANT_STEPS = 'a list of growing whole percentages from 1 to 99, such as [10, 50]'

const rolloutSection = v.pipe(
  section({
    steps: v.optional(
      v.pipe(
        v.array(
          v.pipe(number('Percent of the runtimes.', [1, 99]), v.title('percentage')),
          WANT_STEPS,
        ),
        v.description(
          'Percentages of the runtimes that get a new version one after the other, before all do. Empty: all at once.',
        ),
        v.examples([[10, 50]]),
        v.check(
          (steps) => steps.every((step, index) => step > (steps[index - 1] ?? 0)),
          WANT_STEPS,
        ),
      ),
      [],
    ),
    wait: v.optional(duration('Between two steps.', [SECOND, 30 * DAY]), '10m'),
    stopAfter: v.optional(
      number(
        'A rollout stops when for so many runtimes the new version did not work where the old one did.',
        [1, 1_000_000],
      ),
      1,
    ),
  }),
  v.description('How a published version reaches the runtimes.'),
)

const historySection = v.pipe(
  section({
    versions: v.optional(number('How many published versions are kept.', [2, 10_000]), 100),
    audit: v.optional(duration('How long audit entries are kept.', [DAY, 3650 * DAY]), '400d'),
  }),
  v.description('What is kept.'),
)

function adminSection(base: string) {
  return v.pipe(
    section({
      listen: v.optional(
        listenAddress(
          'Where /admin/v1, /metrics and the page are served. Beyond this machine it needs admin.tls.',
        ),
        '127.0.0.1:8093',
      ),
      tls: v.exactOptional(tlsSection('Certificate and key of the admin listener.', base)),
      tokens: v.optional(
        v.pipe(
          v.array(adminToken, 'a list of tokens such as {name: ci, role: viewer, sha256: …}'),
          v.description('Who may ask. None: nobody; the commands need no token.'),
        ),
        [],
      ),
    }),
    v.description('The admin API.'),
  )
}

const adminToken = section({
  name: matching('Who it is; stands in the audit log.', NAME, WANT_NAME, ['ci']),
  role: choice('viewer looks; publisher also publishes, rolls back and admits.', [
    'viewer',
    'publisher',
  ]),
  sha256: matching(
    'SHA-256 of the token, so that this file holds none: openssl rand -hex 32 | tee token | tr -d "\\n" | sha256sum',
    /^[0-9a-f]{64}$/,
    'the SHA-256 of a token, 64 lower-case hexadecimal digits',
  ),
})

const logSection = v.pipe(
  section({
    level: v.optional(
      choice('The least important messages that are logged.', ['debug', 'info', 'warn', 'error']),
      'info',
    ),
    format: v.optional(
      choice('auto is text on a terminal and JSON elsewhere.', ['auto', 'json', 'text']),
      'auto',
    ),
  }),
  v.description('What goes to standard error.'),
)

/** What single fields cannot show. */
function contradictions(value: unknown, base: string): Contradiction[] {
  const root = isMapping(value) ? value : {}
  const admin = isMapping(root['admin']) ? root['admin'] : {}
  const store = isMapping(root['store']) ? root['store'] : {}
  return [
    ...outside(root, base),
    ...ofCluster(store['postgres']),
    ...openAdmin(admin),
    ...sameTokens(admin['tokens']),
  ]
}

/** What is in the desired state is in Git and with everybody who reads that. */
function outside(root: Record<string, unknown>, base: string): Contradiction[] {
  const { directory } = root
  if (typeof directory !== 'string' || directory === '') return []
  const tree = absolute(directory, base)
  return ['secrets', 'state'].flatMap((key) => {
    const given = root[key]
    if (typeof given !== 'string' || !isWithin(absolute(given, base), tree)) return []
    const message = `${absolute(given, base)} is in the desired state (${tree}), want a directory outside of it`
    return [{ path: [key], message }]
  })
}

/** The server knows no cluster. */
function ofCluster(postgres: unknown): Contradiction[] {
  if (!isMapping(postgres) || !('secret' in postgres)) return []
  const message =
    'a Secret is not read here, want file: with the path that it is mounted at, or env:'
  return [{ path: ['store', 'postgres', 'secret'], message }]
}

function openAdmin({ listen, tls }: Record<string, unknown>): Contradiction[] {
  const address = typeof listen === 'string' ? hostOf(listen) : undefined
  if (address === undefined || isLoopback(address) || tls !== undefined) return []
  return [
    { path: ['listen'], message: `${address} is not this machine, want admin.tls with it` },
  ].map((one) => ({ ...one, path: ['admin', ...one.path] }))
}

function hostOf(listen: string): Address['host'] | undefined {
  return /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d+$/.exec(listen)?.[1]
}

function sameTokens(tokens: unknown): Contradiction[] {
  if (!Array.isArray(tokens)) return []
  return ['name', 'sha256'].flatMap((key) => {
    const seen = new Set<unknown>()
    return tokens.flatMap((token: unknown, index) => {
      const value = isMapping(token) ? token[key] : undefined
      if (value === undefined || !seen.has(value)) {
        seen.add(value)
        return []
      }
      const message = `a token before it has this ${key} already, want another one`
      return [{ path: ['admin', 'tokens', index, key], message }]
    })
  })
}
