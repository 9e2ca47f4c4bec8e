// A server of another make over TLS: HTTP/2 and HTTP/1.1 as the client agrees to; says what it
// got and prints its port. Arguments: certificate, key, authority of clients.
const fs = require('fs');
const http2 = require('http2');
const [cert, key, ca] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const server = http2.createSecureServer({cert, key, ca, requestCert: true, rejectUnauthorized: true, allowHTTP1: true}, (request, response) => {
  const {socket} = request.stream?.session ?? request;
  const name = socket.getPeerCertificate().subject.CN;
  let bytes = 0;
  request.on('data', (piece) => { bytes += piece.length; });
  request.on('end', () => response.end(`${request.httpVersion} ${socket.alpnProtocol} ${socket.servername} ${name} ${request.method} ${request.url} ${bytes}\n`));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
