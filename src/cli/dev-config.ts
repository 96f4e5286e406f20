/** agent.yaml of `agent dev`, written once and then the person's to change. Paths are relative to it. */
export function devConfig(runtimeDirectorUrl: string): string {
  return `# Made by agent dev; change what you like. docs/reference/agent-yaml.md tells what may stand here.
version: 1
name: dev
connector:
  token: {file: token}      # agent dev puts a new one here whenever the agent needs one
  ca: {file: ca.pem}        # of the development control plane
director:
  interval: 5s
identity:
  directory: state
labels:
  eventGatewayUrl: https://gateway.dev.example
  consoleUrl: https://console.dev.example
configuration:              # of the Runtime Director, which is a part of the development control plane
  url: ${runtimeDirectorUrl}
  allow:                    # nothing else is let in
    - {apiVersion: dapr.io/v1alpha1, kind: Component}
targets:
  - kind: files
    directory: out
status: {listen: 127.0.0.1:8090}
log: {level: info}
`
}
