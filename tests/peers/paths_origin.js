// An origin that answers with the path that it would serve: decoded once and normalised, as static
// middlewares do. With `careless` it decodes until nothing changes, takes `\` for `/` and drops
// `;parameters`. With `raw` it answers with the target as it came, for proxies in front of it.
const http = require('http');
const path = require('path');

const once = (text) => { try { return decodeURIComponent(text); } catch { return null; } };
const served = (target) => {
  const decoded = once(new URL(target, 'http://origin').pathname);
  return decoded === null ? null : path.posix.normalize(decoded);
};
const careless = (target) => {
  let text = target.split('?')[0];
  for (let next = once(text); next !== null && next !== text; next = once(text)) text = next;
  text = text.replaceAll('\\', '/').split('/').map((segment) => segment.split(';')[0]).join('/');
  return path.posix.normalize(text);
};
const read = { careless, raw: (target) => target }[process.argv[2]] ?? served;
const server = http.createServer((request, response) => {
  const answer = read(request.url);
  response.statusCode = answer === null ? 400 : 200;
  response.end(answer === null ? '' : answer);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
