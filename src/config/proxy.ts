import * as v from 'valibot'
import { Secret } from '../model/secret.ts'
import { text } from './fields.ts'
import { hidden, section } from './section.ts'

const WANT = 'a URL such as http://proxy.example:3128'

/** How to reach the world. The URL may hold user and password, so it is a secret as a whole. */
export const proxySection = v.pipe(
  section({
    url: hidden(
      v.pipe(
        v.string(WANT),
        v.title('URL'),
        v.description('Address of the proxy; may hold user and password.'),
        v.examples(['http://proxy.example:3128']),
        v.url(WANT),
        v.check((value) => ['http:', 'https:'].includes(new URL(value).protocol), WANT),
        v.transform((value) => new Secret(value)),
      ),
    ),
    except: v.optional(
      v.pipe(
        v.array(
          text(
            'A host, a domain with a leading dot, or an IP address.',
            'a host, or a domain such as .cluster.local',
          ),
          'a list of hosts',
        ),
        v.description('Hosts that are reached directly.'),
        v.examples([['.cluster.local']]),
      ),
      [],
    ),
  }),
  v.description('Missing: HTTPS_PROXY and NO_PROXY of the environment.'),
)
