/**
 * What we take of @kubernetes/client-node, and nothing else: a bundle of its own (scripts/bundle.ts), which an agent that
 * has nothing to do with Kubernetes never loads.
 *
 * Its generated API classes were measured and left out: 10 MB more, and twice the CPU of a list. So were its watch and its
 * agents, which open connections of their own. What is left is what nobody should write anew: where a kubeconfig is, what
 * it means, and the ways to log in with it.
 */
export { KubeConfig } from '@kubernetes/client-node/dist/config.js'
