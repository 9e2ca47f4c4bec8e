// An origin of another make, as lenient as it can be told to be: a line for each request that came
// whole, `METHOD PATH BODY`, with unusual bytes as `\xHH` and `-` for no body.
const http = require('http');
const shown = (body) => body.length === 0 ? '-' : Array.from(body, (byte) => {
  const plain = byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
  if (plain || byte === 0x20) return String.fromCharCode(byte);
  return `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}).join('');
const server = http.createServer({ insecureHTTPParser: true }, (request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    console.log(`${request.method} ${request.url} ${shown(Buffer.concat(pieces))}`);
    response.end('ok');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
