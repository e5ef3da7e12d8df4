// The app that is deployed under load: tells its release in each answer and brings back what it is sent. What is wrong
// with a bad release is one word. Needs nothing but node.
const http = require('http');
const release = '@RELEASE@';
const bad = '@BAD@';
if (bad === 'exits') process.exit(1);

function respond(response, type, body) {
  response.writeHead(bad === 'sick' ? 500 : 200, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  if (bad === 'hangs') return;
  const [path, number] = request.url.split('?');
  const echo = text => respond(response, 'application/json', JSON.stringify({ release, pid: process.pid, echo: text }));
  if (path === '/health') return respond(response, 'application/json', JSON.stringify({ status: 'ok', release }));
  if (path === '/') return respond(response, 'text/html', `<!doctype html><title>${release}</title>`);
  if (path.startsWith('/slow/')) return void setTimeout(echo, Number(path.slice(6)), number);
  if (request.method !== 'POST') return echo(number);
  const parts = [];
  request.on('data', part => parts.push(part));
  request.on('end', () => echo(Buffer.concat(parts).toString()));
});

// Longer than a proxy here keeps one: what closes connections by its own clock loses requests without any deploy.
server.keepAliveTimeout = 130_000;

if (bad === 'deaf') setInterval(() => {}, 1000);
else server.listen(Number(process.env.PORT), '127.0.0.1', () => bad === 'crashes' && setTimeout(() => process.exit(1), 2000));
