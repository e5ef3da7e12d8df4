// The PM2 driver asks over a connection that may end at any moment: it always comes to a result, and where it does not it
// never ends as if all were well.
'use strict';
const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { PARTS } = require('./world.cjs');

const SOURCE = path.join(__dirname, '..', '..', 'src', 'service', 'pm2');
const text = names => names.map(name => fs.readFileSync(path.join(SOURCE, `${name}.cjs`), 'utf8')).join('');
const run = (program, ...args) => spawnSync(process.execPath, ['-', ...args], { input: program, encoding: 'utf8', timeout: 20000 });

test('a connection that ended before it was asked is told as closed', () => {
  const ended = run(`${text(['protocol', 'proc', 'http'])}
    const server = net.createServer(socket => socket.destroy()).listen(0, '127.0.0.1', async () => {
      const socket = await connectTo('127.0.0.1', server.address().port, 5000);
      await new Promise(resolve => socket.once('close', resolve));
      server.close();
      await request(socket, '/health', {}, 300).catch(error => note(error.message));
    });`);
  assert.strictEqual(ended.stdout, 'note /health: the connection was closed without an answer\n', ended.stderr);
});

test('a server that never answers is told within its time', () => {
  const ended = run(`${text(['protocol', 'proc', 'http'])}
    const server = net.createServer(() => {}).listen(0, '127.0.0.1', async () => {
      const socket = await connectTo('127.0.0.1', server.address().port, 5000);
      await request(socket, '/health', {}, 300).catch(error => note(error.message));
      process.exit(0);
    });`);
  assert.strictEqual(ended.stdout, 'note /health: no answer within 300 ms\n', ended.stderr);
});

test('a verb that comes to no result is a failure', () => {
  const lost = text(PARTS).replace('async function facts() {', 'async function facts() {\n  await new Promise(() => {});');
  const ended = run(`const DRAIN_TEXT = '';${lost}`, 'facts');
  assert.deepStrictEqual([ended.status, ended.stdout], [1, 'why the PM2 driver came to no result\n'], ended.stderr);
});
