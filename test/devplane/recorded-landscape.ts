import { parseLandscape } from '../../src/devplane/landscape-file.ts'
import type { Landscape } from '../../src/devplane/landscape.ts'
import { recordingsOf } from './recorded.ts'

/** The runtimes that asked in the recordings, by a name of ours. */
export const RUNTIMES = {
  main: '5ed0c5c4-12af-403b-b8cd-6cf3a3d29c9c',
  many: 'de7afcf9-620d-402a-b458-37a6a8a18d80',
  faults: 'f8d22750-bcdd-4f53-9690-a40cb1d90e1d',
  viewer: '4d1bed9a-306f-4e87-8b95-01503015e06f',
  late: '6979a609-224d-484c-b535-b87deacba5ca',
  revoked: '96aee4e2-aafc-4ea2-8765-5f41f7aba5be',
}

export const BUNDLES = {
  People: 'd588b626-6156-490f-aadc-1a099a5487cc',
  Finance: '926d21e6-0c9b-496c-b87b-435fe294789c',
  Late: 'bb1237bf-ae71-4a94-bde2-825b89f01527',
}

/** The landscape behind the recordings of the Director, in the form of the landscape file. */
const TEXT = `
runtimes:
  - {id: ${RUNTIMES.main}, name: main, formations: [sales-integration-a2], labels: {global_account_id: acc-0001, runtimeType: kyma}}
  - {id: ${RUNTIMES.many}, name: many, formations: [many]}
  - {id: ${RUNTIMES.faults}, name: faults}
  - {id: ${RUNTIMES.viewer}, name: viewer}
  - {id: ${RUNTIMES.late}, name: late, formations: [late]}
  - {id: ${RUNTIMES.revoked}, name: revoked}
applications:
  - id: 207da627-7683-4aee-be08-9ad250b2be4b
    name: erp
    formations: &formation [sales-integration-a2]
    labels: &labels {applicationType: SAP Commerce Cloud, managed: "false"}
    bundles:
      - id: 5db21b23-369e-4b6c-8a12-3c210eab4b38
        name: HeadersOnly
        auth: {headers: {X-Api-Key: canary-api-key}}
        apis: [{id: 49289798-6732-48bb-800c-a89ce2795e5b, name: Keys, targetUrl: "https://erp.example.com/keys"}]
      - id: ${BUNDLES.People}
        name: People
        apis: [{id: 087243f6-8a1a-42a6-9240-da452d40b171, name: Staff, targetUrl: "https://erp.example.com/staff"}]
      - id: 84f024d5-353d-4a06-a9e0-790c8f74612f
        name: Archive
        auth: {certificate: {clientId: canary-cert-id, certificate: canary-cert-pem, tokenUrl: "https://erp.example.com/cert/token"}}
        apis: [{id: 9bf574a8-c087-4647-a375-684b8a1477bc, name: Files, targetUrl: "https://erp.example.com/files"}]
      - id: ${BUNDLES.Finance}
        name: Finance
        auth: {oauth: {clientId: canary-oauth-id, clientSecret: canary-oauth-secret, tokenUrl: "https://erp.example.com/oauth/token"}}
        apis: [{id: 4387ffc6-e3c2-4b9b-af8c-cf8c2df134be, name: Ledger, targetUrl: "https://erp.example.com/ledger"}]
  - id: 4c401666-c13f-4cc7-b205-19c7b41a86e8
    name: crm
    providerName: Acme
    description: Customer data
    formations: *formation
    labels:
      applicationType: SAP Commerce Cloud
      managed: "false"
      nested: {k: 1}
      region: eu
      tags: [a, b]
    bundles:
      - id: 938bf23c-0d20-427a-9b98-daccb14d129a
        name: Sales
        description: Sales APIs
        inputSchema: '{"type": "object", "required": ["user"], "properties": {"user": {"type": "string"}}, "additionalProperties": false}'
        auth:
          basic: {username: canary-basic-user, password: canary-basic-password}
          headers: {X-Canary-Header: [canary-header-value, second]}
          queryParams: {sap-client: "100"}
          csrf:
            tokenUrl: https://crm.example.com/csrf
            basic: {username: canary-csrf-user, password: canary-csrf-password}
            headers: {X-Csrf-Extra: canary-csrf-header}
        apis:
          - id: eb645952-f69a-492a-ae2e-5d4d85327eeb
            name: Orders
            targetUrl: https://crm.example.com/odata/orders
            version: {value: "0.9", deprecated: true, deprecatedSince: "2024", forRemoval: true}
            spec: {type: ODATA, format: XML, data: <edmx/>}
          - id: e7a2a4a7-fd7f-464e-923e-86c2dd61cbd4
            name: Contacts
            description: People
            group: core
            targetUrl: https://crm.example.com/contacts
            version: 1.2.0
            spec: {type: OPEN_API, format: JSON, data: '{"openapi":"3.0.0"}'}
        events:
          - id: 5d84ecb2-bd44-4feb-b171-2fbfbbbe29bd
            name: order.created
            description: An order
            version: "1"
            spec: {type: ASYNC_API, format: YAML, data: "asyncapi: 2.0.0"}
  - {id: 8fcb911e-f9eb-472a-972f-b760967e3097, name: My App, providerName: Acme, formations: *formation, labels: *labels}
  - name: outside
    formations: [another]
    bundles: [{id: 8da3a10a-3f9c-414c-abd8-d206d14665ff, name: Outside}]
  - name: late-default
    formations: [late]
    bundles: [{id: ${BUNDLES.Late}, name: B}]
`

type Page = { data: { result: { data: { id: string; name: string }[] } } }

/** The landscape, with the 205 applications of the three pages. */
export function recordedLandscape(): Landscape {
  const landscape = parseLandscape(TEXT)
  for (const [name, { response }] of recordingsOf('director')) {
    if (!name.startsWith('page-')) continue
    const { data } = (response!.body as Page).data.result
    landscape.applications.push(
      ...data.map((application) => ({
        id: application.id,
        name: application.name.replace('mp-', ''),
        labels: {},
        formations: ['many'],
        hidden: false,
        authIds: [],
        bundles: [],
      })),
    )
  }
  return landscape
}
