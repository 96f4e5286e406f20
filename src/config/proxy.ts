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
        // `http://user:12#ss@proxy:3128` is port 12 of the host "user".
        v.check(
          (value) => !/[/?#].*@/.test(value.split('://')[1] ?? ''),
          'a URL whose user and password have %2F, %3F, %23 for / ? #',
        ),
        v.transform((value) => new Secret(value)),
      ),
    ),
    except: v.optional(
      v.pipe(
        v.array(
          text(
            'A host and what is below it, only what is below (.example), an IP address, a block of them, or *.',
            'a host, a domain such as .cluster.local, or a block such as 10.0.0.0/8',
          ),
          'a list of hosts',
        ),
        v.description('Hosts that are reached directly, in the forms of NO_PROXY.'),
        v.examples([['.cluster.local', '10.0.0.0/8', 'fd00::/8']]),
      ),
      [],
    ),
  }),
  v.description('Missing: HTTPS_PROXY and NO_PROXY of the environment.'),
)
