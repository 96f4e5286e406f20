import * as v from 'valibot'
import { HOUR, SECOND } from '../model/time.ts'
import { choice, duration, flag, matching, path, serviceUrl, text } from './fields.ts'
import { section } from './section.ts'
import { groupName } from './target-files.ts'
import { targetName } from './target-name.ts'
import { valueSource } from './value.ts'

/** Where secrets go when nothing else is said. */
export const DAPR_SECRETS = '/var/lib/runtime-agent/dapr'

const TYPES = [
  'bindings.*',
  'configuration.*',
  'conversation.*',
  'lock.*',
  'middleware.http.*',
  'pubsub.*',
  'state.*',
]

const APP_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

function sidecar(base: string) {
  const written = section({
    url: serviceUrl('Address of the HTTP API of daprd.', ['http://127.0.0.1:3500']),
    reload: v.optional(
      choice(
        'How it takes changes: hot by itself (from 1.18.2 on), sighup by a signal to the process of pidFile, command by running command.',
        ['hot', 'sighup', 'command'],
      ),
      'hot',
    ),
    pidFile: v.exactOptional(
      path('A file that holds the number of its process, for sighup.', base, 'a file path', [
        '/run/daprd/orders.pid',
      ]),
    ),
    command: v.exactOptional(
      v.pipe(
        v.array(
          v.pipe(
            v.string('text (in quotes if it looks like a number)'),
            v.description('One word of the command.'),
          ),
          'a list: the program and its arguments',
        ),
        v.description('Program and arguments, without a shell, that make it start anew.'),
        v.examples([['systemctl', 'restart', 'daprd-orders.service']]),
        v.nonEmpty('a list: the program and its arguments'),
      ),
    ),
    timeout: v.optional(
      duration('After this time the command is killed and counts as failed.', [SECOND, HOUR]),
      '30s',
    ),
    apiToken: v.exactOptional(
      valueSource('What daprd has in DAPR_API_TOKEN, when it has one.', base),
    ),
  })
  const needs = 'pidFile with reload: sighup, command with reload: command, neither with hot'
  return v.pipe(
    written,
    v.check(
      ({ reload, pidFile, command }) =>
        (reload === 'sighup') === (pidFile !== undefined) &&
        (reload === 'command') === (command !== undefined),
      needs,
    ),
  )
}

/** Resources of daprd on this machine (design §7, reference/dapr.md). */
export function daprTarget(base: string) {
  return section({
    kind: v.pipe(
      v.literal('dapr', 'dapr'),
      v.description('Write Components and HTTPEndpoints for daprd on this machine.'),
    ),
    name: v.optional(targetName(), 'dapr'),
    resources: path(
      'The directory that daprd is given with --resources-path; the agent writes one file there and touches no other.',
      base,
      'a directory path',
      ['/etc/dapr/resources'],
    ),
    otherResources: v.optional(
      v.pipe(
        v.array(path('One of them.', base, 'a directory path'), 'a list of directories'),
        v.description('Further directories that the same daprd reads: a name there is taken.'),
      ),
      [],
    ),
    secrets: v.optional(
      path(
        'Where the secrets go, for the agent and the group of daprd only. Neither above nor below the state directory or another target.',
        base,
        'a directory path',
      ),
      DAPR_SECRETS,
    ),
    group: v.exactOptional(
      groupName('Group of daprd: secrets get mode 0640. Missing: the group of the agent.', [
        'daprd',
      ]),
    ),
    scopes: v.optional(
      v.pipe(
        v.array(
          matching('Id of an application of Dapr.', APP_ID, 'the id of an application of Dapr'),
          'a list of ids of applications of Dapr',
        ),
        v.description('Which applications of Dapr may use what is written. Missing: all.'),
        v.examples([['orders']]),
      ),
      [],
    ),
    applications: v.optional(
      flag('Make applications of Compass visible, beside documents of the Runtime Director.'),
      true,
    ),
    endpoints: v.optional(
      choice(
        'When an API gets an HTTPEndpoint, each change of which restarts daprd: none, needed (OAuth, which Dapr can do in no other way) or all (also with secrets: then daprd restarts at each change of anything).',
        ['none', 'needed', 'all'],
      ),
      'needed',
    ),
    oauthScopes: v.exactOptional(
      text(
        'Scopes to ask for where credentials are OAuth, with commas. Compass knows none, and Dapr needs one: without this such bundles are reported.',
        'scopes such as uaa.resource',
        ['uaa.resource'],
      ),
    ),
    types: v.optional(
      v.pipe(
        v.array(
          matching(
            'A type of Components; * stands for any characters.',
            /^[A-Za-z0-9.*_-]{1,128}$/,
            'a type such as bindings.http, or a pattern such as state.*',
          ),
          'a list of types of Components',
        ),
        v.description(
          'Types of Components that the Runtime Director may bring. Those that read files or variables of this machine (bindings.localstorage, secretstores.local.file …) must be named in full.',
        ),
      ),
      TYPES,
    ),
    config: v.optional(
      v.pipe(
        v.array(path('One of them.', base, 'a file path'), 'a list of files'),
        v.description(
          'The files that daprd is given with --config: a middleware that a pipeline in them names is never removed, and OAuth is used only when one is named.',
        ),
        v.examples([['/etc/dapr/config.yaml']]),
      ),
      [],
    ),
    sidecars: v.optional(
      v.pipe(
        v.array(sidecar(base), 'a list of sidecars such as {url: "http://127.0.0.1:3500"}'),
        v.description(
          'The daprd that read these resources: they are asked whether they took a change, and what they refuse is taken back. None: nothing is asked.',
        ),
      ),
      [],
    ),
  })
}
