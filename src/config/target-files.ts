import * as v from 'valibot'
import { HOUR, SECOND } from '../model/time.ts'
import { choice, duration, flag, matching, path, text } from './fields.ts'
import { section } from './section.ts'
import { targetName } from './target-name.ts'

const hook = section({
  bindings: v.optional(
    v.pipe(
      v.array(
        matching(
          'The name of a binding, or of a document as in config/component/logging; * stands for any run of characters.',
          /^[a-z0-9./*-]{1,253}$/,
          'the name of a binding, or a pattern such as ucl-crm-*',
        ),
        'a list of binding names',
      ),
      v.description(
        'Changes of which bindings and documents run the command; * stands for any characters.',
      ),
      v.examples([['ucl-crm-*']]),
      v.nonEmpty('at least one binding name'),
    ),
    ['*'],
  ),
  command: v.pipe(
    v.array(
      v.pipe(
        v.string('text (in quotes if it looks like a number)'),
        v.description('One word of the command.'),
      ),
      'a list: the program and its arguments',
    ),
    v.description(
      'Program and arguments, without a shell. RUNTIME_AGENT_CHANGED holds the names of the changed bindings; * when they are too many for a variable.',
    ),
    v.examples([['systemctl', 'try-reload-or-restart', 'orders.service']]),
    v.nonEmpty('a list: the program and its arguments'),
    v.check(([program]) => program !== '', 'a program to run'),
  ),
  timeout: v.optional(
    duration('After this time the command is killed and counts as failed.', [SECOND, HOUR]),
    '30s',
  ),
})

const typeRule = section({
  application: text(
    'Name or id of the application; * stands for any characters.',
    'the name or id of an application, or a pattern such as mp-crm*',
    ['mp-commerce-*'],
  ),
  bundle: v.exactOptional(
    text(
      'Name or id of the bundle; * stands for any characters. Missing: every bundle.',
      'the name or id of a bundle, or a pattern',
    ),
  ),
  type: matching(
    'What the entry `type` of the binding says.',
    /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
    'a binding type such as rest or odata',
    ['odata'],
  ),
})

/** The `types` of every target that writes bindings. */
export function bindingTypes() {
  return v.optional(
    v.pipe(
      v.array(typeRule, 'a list of rules such as {application: mp-crm, type: odata}'),
      v.description(
        'What the entry `type` of bindings says: the first rule that fits, else ucl-api.',
      ),
    ),
    [],
  )
}

/** The name of a group of this machine. */
export function groupName(about: string, examples: string[]) {
  return matching(about, /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, 'the name of a group', examples)
}

/** Bindings as files below one directory (design §7, reference/vm.md). */
export function filesTarget(base: string) {
  return section({
    kind: v.pipe(v.literal('files', 'files'), v.description('Write bindings as files.')),
    name: v.optional(targetName(), 'files'),
    directory: path(
      'Where the bindings go; consumers set SERVICE_BINDING_ROOT to its current/bindings. Neither above nor below the state directory or another target.',
      base,
      'a directory path',
      ['/var/lib/runtime-agent/out'],
    ),
    group: v.exactOptional(
      groupName(
        'Group of the readers: directories get mode 2750, files 0640. Missing: the group of the agent.',
        ['apps'],
      ),
    ),
    env: v.optional(
      flag(
        'Write env/<binding>.env for EnvironmentFile= of systemd too, readable by the agent and root only.',
      ),
      true,
    ),
    json: v.optional(flag('Write json/<binding>.json, one object per binding, too.'), true),
    vcap: v.optional(
      flag(
        'Write vcap_services.json too: all bindings in one file, for programs that read VCAP_SERVICES_FILE_PATH.',
      ),
      false,
    ),
    compat: v.exactOptional(
      choice(
        'system-broker: each binding also has system-broker.json as the System Broker of Compass writes it.',
        ['system-broker'],
      ),
    ),
    types: bindingTypes(),
    onChange: v.optional(
      v.pipe(
        v.array(hook, 'a list of hooks such as {command: [systemctl, reload, orders]}'),
        v.description('Commands to run after bindings changed.'),
      ),
      [],
    ),
  })
}
