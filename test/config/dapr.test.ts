import { describe, expect, test } from 'bun:test'
import { configOf, problemsOf } from './agent.ts'

const target = (text: string): string => `version: 1\ntargets:\n- kind: dapr\n  ${text}\n`

describe('a target of kind dapr', () => {
  test('needs only the directory of resources', () => {
    expect(configOf(target('resources: res')).targets[0]).toEqual({
      kind: 'dapr',
      name: 'dapr',
      resources: '/etc/agent/res',
      otherResources: [],
      secrets: '/var/lib/runtime-agent/dapr',
      scopes: [],
      applications: true,
      endpoints: 'needed',
      types: [
        'bindings.*',
        'configuration.*',
        'conversation.*',
        'lock.*',
        'middleware.http.*',
        'pubsub.*',
        'state.*',
      ],
      config: [],
      sidecars: [],
    })
  })

  test('asks a sidecar that does not reload by itself how it is started anew', () => {
    const sidecar = (more: string) =>
      problemsOf(target(`resources: /r\n  sidecars: [{url: "http://127.0.0.1:3500", ${more}}]`))
    expect(sidecar('reload: hot')).toEqual([])
    expect(sidecar('reload: sighup, pidFile: /run/daprd.pid')).toEqual([])
    expect(sidecar('reload: command, command: [systemctl, restart, daprd]')).toEqual([])
    for (const wrong of ['reload: sighup', 'reload: command', 'reload: hot, pidFile: /run/d.pid'])
      expect(sidecar(wrong).join()).toContain('pidFile with reload: sighup')
  })

  test('shares no directory with anything else of the agent', () => {
    expect(problemsOf(target('resources: /r\n  secrets: /r/secrets'))).toEqual([
      '4:14: targets[0].resources: /r lies above targets[0].secrets (/r/secrets), want a directory apart from it',
    ])
    expect(
      problemsOf(
        'version: 1\ntargets: [{kind: dapr, resources: /a}, {kind: dapr, name: b, resources: /b}]',
      ).join(),
    ).toContain('/var/lib/runtime-agent/dapr is also targets[0].secrets')
  })

  test('talks to a sidecar on another machine over TLS only', () => {
    expect(
      problemsOf(target('resources: /r\n  sidecars: [{url: "http://10.0.0.1:3500"}]')),
    ).toHaveLength(1)
  })
})
