/**
 * What we take of @kubernetes/client-node, and nothing else: a bundle of its own (scripts/bundle.ts), which an agent that
 * has nothing to do with Kubernetes never loads.
 *
 * Its generated API classes were measured and left out: 10 MB more, and half as much CPU again for a list. So was its
 * watch, which opens connections of its own. What is left is what nobody should write anew: where a kubeconfig is, what it
 * means, and the ways to log in with it.
 */
import { KubeConfig } from '@kubernetes/client-node/dist/config.js'

// With each login it makes an agent for node:http, which nobody here would use, and which it refuses for `kubectl proxy`.
Reflect.set(KubeConfig.prototype, 'createAgent', () => undefined)

export { KubeConfig }
