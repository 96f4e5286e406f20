/** Listens with room for one waiting connection, prints its port, and is then stopped by the test. */
import { createServer } from 'node:net'

const server = createServer()
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  const address = server.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  process.stdout.write(`${port}\n`)
})
