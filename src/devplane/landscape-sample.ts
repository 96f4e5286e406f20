/**
 * The landscape of `agent dev` when no other is given: YAML, to be read by parseLandscape() and to be written to a
 * file that a person edits. All names, hosts and credentials are made up.
 */
export const SAMPLE_LANDSCAPE = `# What the development control plane serves. Edit and save: it takes the change within a second.
#
# Ids are derived from names where none is given. Credentials of a bundle: basic, oauth or certificate, and besides or
# instead headers, queryParams and csrf. Without auth the bundle has no credentials.

tenant: 3e64ebae-38b5-46a0-b1ed-9ccee153a0ae

runtimes:
  - name: dev
    formations: [order-to-cash]
    labels:
      runtimeType: vm

# What the Runtime Director has, for the runtimes named or for all.
configurations:
  - name: logging
    runtimes: [dev]
    resources:
      - apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: logging}
        spec:
          type: bindings.http
          version: v1
          metadata:
            - {name: url, value: https://logging.example/ingest}
            - {name: securityTokenHeader, value: Authorization}
            - {name: securityToken, value: sample-logging-token}

applications:
  # OAuth client credentials; APIs and events.
  - name: Commerce Cloud
    providerName: Example Commerce
    description: Web shop of the EMEA region
    formations: [order-to-cash]
    labels:
      applicationType: Commerce
      region: eu
      stage: production
    auths: [events]
    bundles:
      - name: Orders
        description: Orders, carts and returns of the web shop
        auth:
          oauth:
            clientId: shop-orders-client
            clientSecret: sample-oauth-secret-4711
            tokenUrl: https://auth.commerce.example/oauth/token
        apis:
          - name: Orders OCC
            description: Carts, orders and order history
            targetUrl: https://api.commerce.example/occ/v2/orders
            group: commerce.orders
            version: {value: 2.1.0, deprecated: false}
            spec:
              type: OPEN_API
              format: JSON
              data: '{"openapi":"3.0.3","info":{"title":"Orders OCC","version":"2.1.0"},"paths":{}}'
          - name: Returns
            description: Return requests and refunds
            targetUrl: https://api.commerce.example/occ/v2/returns
            version: 1.4.0
        events:
          - name: order.created
            description: A customer has placed an order
            version: "1"
            spec:
              type: ASYNC_API
              format: YAML
              data: 'asyncapi: 2.0.0'
          - name: order.cancelled
            description: A customer or an agent has cancelled an order
            version: "1"
      - name: Customers
        description: Profiles and addresses of registered customers
        auth:
          oauth:
            clientId: shop-customers-client
            clientSecret: sample-oauth-secret-0815
            tokenUrl: https://auth.commerce.example/oauth/token
          headers:
            X-Commerce-Site: [emea]
        apis:
          - name: Customer Profiles
            description: Reads and updates customers
            targetUrl: https://api.commerce.example/occ/v2/customers
            version: 2.0.0
        events:
          - name: customer.updated
            description: Name, address or consent of a customer has changed
            version: "1"

  # User and password, a CSRF token for writing calls, and a query parameter on every call.
  - name: ERP Production
    providerName: Example ERP
    description: Finance and logistics, client 100
    formations: [order-to-cash]
    labels:
      applicationType: ERP
      landscape: [eu-central, on-premise]
    bundles:
      - name: Finance
        description: General ledger and invoices
        auth:
          basic:
            username: INTEGRATION
            password: sample-erp-password
          queryParams:
            sap-client: "100"
          csrf:
            tokenUrl: https://erp.example/odata/v2/$metadata
            basic:
              username: INTEGRATION
              password: sample-erp-password
            headers:
              X-CSRF-Token: Fetch
        apis:
          - name: Invoices
            description: Customer invoices and their items
            targetUrl: https://erp.example/odata/v2/invoices
            version: 1.0.0
            spec: {type: ODATA, format: XML, data: '<edmx:Edmx Version="1.0"/>'}
          - name: Ledger
            description: Journal entries
            targetUrl: https://erp.example/odata/v2/ledger
            version: {value: 0.9.0, deprecated: true, deprecatedSince: "2026", forRemoval: false}

  # A key in a header.
  - name: CRM
    providerName: Example CRM
    description: Accounts, contacts and opportunities
    formations: [order-to-cash]
    labels:
      applicationType: CRM
      owner: {team: sales, costCenter: 4100}
    bundles:
      - name: Sales
        description: Accounts and opportunities
        auth:
          headers:
            X-Api-Key: sample-crm-key
        apis:
          - name: Accounts
            description: Companies that buy, or may
            targetUrl: https://crm.example/api/v1/accounts
            version: 1.7.2
        events:
          - name: opportunity.won
            description: An opportunity was closed as won
            version: "2"

  # No credentials at all.
  - name: Public Holidays
    providerName: Open Data
    description: Public holidays by country, open to everybody
    formations: [order-to-cash]
    labels:
      applicationType: Open Data
    bundles:
      - name: Holidays
        description: Read only
        apis:
          - name: Holidays
            description: Holidays of a year and country
            targetUrl: https://holidays.example/v3
            version: 3.0.0
`
