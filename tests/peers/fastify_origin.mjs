// An origin in Fastify 4 that answers with the path and the query that its handler gets. Fastify 4
// ends the path at the first `;`, and reads the rest as the query.
import fastify from 'fastify'

const app = fastify()
app.get('/*', (request, reply) => {
  const query = new URLSearchParams(request.query).toString()
  reply.type('text/plain').send(`/${request.params['*']}${query && `?${query}`}`)
})
await app.listen({ host: '127.0.0.1', port: 0 })
console.log(app.server.address().port)
