// A server of another make: says what it got, and closes a connection that was idle for a moment.
const http = require('http');
const server = http.createServer((request, response) => {
  let bytes = 0;
  request.on('data', (piece) => { bytes += piece.length; });
  request.on('end', () => response.end(`${request.method} ${request.url} ${bytes}\n`));
});
server.keepAliveTimeout = 40;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
