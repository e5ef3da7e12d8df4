// A page, a stylesheet and a health route, from the release's own files. The data lies in a shared folder.
import fs from 'node:fs';
import http from 'node:http';
import mustache from 'mustache';
import { applied } from './store.mjs';

const read = name => fs.readFileSync(new URL(name, import.meta.url), 'utf8');
const { version } = JSON.parse(read('package.json'));
const page = mustache.render(read('views/index.html'), { version });
const style = read('public/style.css');

const server = http.createServer((request, response) => {
  const send = (status, type, body) => {
    response.writeHead(status, { 'content-type': type });
    response.end(body);
  };
  if (request.url === '/') send(200, 'text/html; charset=utf-8', page);
  else if (request.url === '/style.css') send(200, 'text/css', style);
  else if (request.url === '/api/health') {
    send(200, 'application/json', JSON.stringify({ status: 'ok', version, pid: process.pid, migrations: applied() }));
  } else send(404, 'text/plain', 'no such page');
});

server.listen(Number(process.env.PORT || 3000), process.env.HOST || '127.0.0.1');
process.on('SIGINT', () => server.close(() => process.exit(0)));
