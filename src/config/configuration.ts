import * as v from 'valibot'
import { DAY, SECOND } from '../model/time.ts'
import { duration, matching, serviceUrl } from './fields.ts'
import { section } from './section.ts'
import { size } from './size.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Lower-case names with *, as Kubernetes writes them. */
const NAME_PATTERN = /^[a-z0-9.*-]{1,253}$/
const WANT_NAME_PATTERN = 'a name, or a pattern such as orders-*'

const allowRow = section({
  apiVersion: matching(
    'API version of the documents, exactly.',
    /^([a-z0-9.-]{1,128}\/)?v[a-z0-9]{1,31}$/,
    'an API version such as dapr.io/v1alpha1',
    ['dapr.io/v1alpha1'],
  ),
  kind: matching(
    'Kind of the documents, exactly.',
    /^[A-Z][A-Za-z0-9]{0,62}$/,
    'a kind such as Component',
    ['Component'],
  ),
  namespaces: v.optional(
    v.pipe(
      v.array(
        matching(
          'A namespace; * stands for any characters.',
          /^[a-z0-9*-]{1,63}$/,
          'a namespace, or a pattern such as team-*',
        ),
        'a list of namespaces',
      ),
      v.description(
        'Namespaces that a document may name; * stands for any characters. One that names none is meant for the place of the target, and fits always.',
      ),
      v.examples([['apps']]),
    ),
    [],
  ),
  names: v.optional(
    v.pipe(
      v.array(
        matching('A name; * stands for any characters.', NAME_PATTERN, WANT_NAME_PATTERN),
        'a list of names',
      ),
      v.description('Names of documents; * stands for any characters.'),
      v.examples([['logging-*']]),
      v.nonEmpty('at least one name'),
    ),
    ['*'],
  ),
})

/** Where the configuration of the runtime comes from, and what of it is let in (reference/runtime-director.md §4). */
export const configurationSection = v.pipe(
  section({
    url: serviceUrl(
      'Address of the Runtime Director. The certificate of the runtime, connector.ca and proxy are used there too.',
      ['https://runtime-director.example'],
    ),
    interval: v.optional(
      duration(
        'Time between two looks at a Runtime Director that does not tell changes by itself.',
        [SECOND, DAY],
      ),
      '1m',
    ),
    maxBytes: v.optional(
      size('An answer that is longer is not read, and changes nothing.', [KIB, 8 * MIB]),
      '1MiB',
    ),
    secrets: v.optional(
      v.pipe(
        v.array(
          matching(
            'A name; * stands for any characters, upper and lower case are the same.',
            /^[A-Za-z0-9_.*-]{1,253}$/,
            'a name, or a pattern such as *Key',
          ),
          'a list of names',
        ),
        v.description(
          'Names whose inline values are secrets: kept out of sight, and moved to a secret store where a target has one.',
        ),
      ),
      ['*password', '*Secret', '*Key', '*Token', 'connectionString', 'authorization'],
    ),
    allow: v.optional(
      v.pipe(
        v.array(allowRow, 'a list of rows such as {apiVersion: dapr.io/v1alpha1, kind: Component}'),
        v.description(
          'Documents that may be applied: nothing else is. Kinds without namespace, rights, Secrets, webhooks and workloads are refused whatever stands here.',
        ),
      ),
      [],
    ),
  }),
  v.description(
    'Configuration from a Runtime Director, beside the applications. Missing: none is fetched, and what is there stays.',
  ),
)
