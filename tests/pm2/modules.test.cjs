// The PM2 driver with an entry that is an ES module, as Astro's is: PM2 loads it through `current`, and what it imports
// later must still be its own release's.
'use strict';
const assert = require('node:assert');
const { test } = require('node:test');
const { World } = require('./world.cjs');

const ENTRY = `
import http from 'node:http';
import { release } from './release.mjs';
http.createServer(async (request, response) => {
  if (request.url !== '/api/health') return response.end('<p>page</p>');
  const late = await import('./late.mjs');
  response.end(JSON.stringify({ status: 'ok', release, late: late.release, host: process.env.HOST, word: process.env.WORD }));
}).listen(process.env.PORT, process.env.HOST);
`;

function release(world, id) {
  world.file(id, '.release.json', JSON.stringify({ id }));
  world.file(id, 'dist/server/entry.mjs', ENTRY);
  ['release', 'late'].forEach(name => world.file(id, `dist/server/${name}.mjs`, `export const release = '${id}';`));
}

[['cluster', 2], ['fork', 1]].forEach(([mode, instances]) => test(`an .mjs entry goes live and is replaced (${mode})`, async () => {
  const world = await new World().init();
  try {
    ['A', 'B'].forEach(id => release(world, id));
    world.file('bad', 'dist/server/entry.mjs', "import './gone.mjs';");
    const settings = { mode, instances, script: 'dist/server/entry.mjs', preset_env: { HOST: '127.0.0.1', WORD: 'preset' }, env: { WORD: 'own' } };
    world.settings(settings, { assets: false });
    const says = async id => assert.deepStrictEqual(JSON.parse((await world.get()).body), { status: 'ok', release: id, late: id, host: '127.0.0.1', word: 'own' });
    await world.good('A', { boot: true });
    // Its later import comes after the switch to B, and has to be A's all the same.
    world.swap('B');
    await says('A');
    world.swap('A');
    await world.good('B', { boot: true });
    await says('B');
    assert.deepStrictEqual(world.list('web').map(worker => worker.release), Array(instances).fill('B'));
    const boot = await world.deploy('bad', { boot: true });
    assert.match(boot.why.concat(boot.log).join('\n'), /gone\.mjs/, boot.all);
  } finally {
    world.end();
  }
}));
