// The driver and records, on a real PM2: what is live is judged by its own record and never by the settings of what
// comes; an earlier release by its record; the candidate by its marker; and PM2 itself when it can't be understood.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test, before, after } = require('node:test');
const { World, SERVERS } = require('./world.cjs');

let world;
const HEALTH = '/api/health';
const renamed = text => text.replace(HEALTH, '/healthz');

// As the client and the host write it: durations as serde has them.
function record(id, { port = world.port, health = HEALTH } = {}) {
  const file = path.join(world.base, '.shipit', 'records', `${id}.json`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const time = secs => ({ secs, nanos: 0 });
  const client = JSON.stringify({
    id, service: { kind: 'pm2', name: 'web', port },
    health: { path: health, headers: {}, expect: { status: 200, body: null, json: { status: 'ok' } }, timeout: time(1), interval: { secs: 0, nanos: 1e8 }, within: time(4) },
  });
  fs.writeFileSync(file, `${client.slice(0, -1)},\n"previous":"",\n"state":"good",\n"why":""}\n`);
}

before(async () => {
  world = await new World('base').init();
  world.release('A');
  await world.good('A');
  record('A');
  world.release('bad', 'exits');
  world.release('sick');
  world.file('sick', 'server.js', renamed(SERVERS.sick));
});
after(() => world.end());

test('a renamed health path: the live release is asked by its own, and was healthy', async () => {
  world.settings({}, { path: '/healthz' });
  const look = await world.drive('baseline', 'bad');
  assert.deepStrictEqual(look.fact.slice(0, 2), ['service online 2/2 A', 'health ok'], look.all);
  for (const id of ['bad', 'sick']) {
    const last = await world.deploy(id);
    assert.strictEqual(last.code, 1, last.all);
    const back = await world.revert(id);
    assert.deepStrictEqual([back.code, back.fact], [0, ['before healthy']], back.all);
    // PM2 itself may have started the one that ended on what `current` names again.
    if (id === 'sick') assert.match(back.note.join('\n'), /worker 1 of 2 .* runs A and answers again/);
    assert.strictEqual((await world.get()).status, 200);
  }
});

test('without a record the settings are what is known', async () => {
  fs.renameSync(path.join(world.base, '.shipit', 'records', 'A.json'), path.join(world.root, 'A.json'));
  world.settings({}, { path: '/healthz' });
  const look = await world.drive('baseline', 'bad');
  assert.match(look.fact.join('\n'), /health \/healthz: status 404/);
  fs.renameSync(path.join(world.root, 'A.json'), path.join(world.base, '.shipit', 'records', 'A.json'));
});

test("a rollback is judged by the target's settings, not by those of today", async () => {
  world.settings({ mode: 'fork' });
  assert.match((await world.drive('baseline', 'B')).refuse.join(), /another mode cluster, now fork/);
  world.settings({ mode: 'fork', port: 1 }, {}, '', true);
  const look = await world.drive('baseline', 'B');
  assert.deepStrictEqual([look.code, look.refuse], [0, []], look.all);
  world.release('B');
  world.settings({}, {}, '', true);
  const ready = await world.drive('prepare', 'B');
  assert.strictEqual(ready.code, 0, ready.all);
  world.settings({ mode: 'fork' }, {}, '', true);
  const other = await world.drive('prepare', 'B');
  assert.strictEqual(other.code, 1);
  assert.match(other.why.join(), /another mode cluster, now fork/);
});

test('more workers than the time limits reckon with are refused', async () => {
  world.release('B');
  world.settings({ ecosystem: 'eco.config.cjs', script: null });
  const apps = n => `module.exports = [{ name: 'web', script: 'server.js', instances: 2 }, { name: 'more', script: 'server.js', exec_mode: 'fork', instances: ${n} }]`;
  const limits = path.join(world.dir, 'limits');
  fs.writeFileSync(limits, '600 1200 16\n');
  world.file('B', 'eco.config.cjs', apps(15));
  const many = await world.drive('prepare', 'B');
  assert.strictEqual(many.code, 1);
  assert.match(many.why.join(), /ask for 17 workers, the time limits reckon with 16: name fewer apps in service\.pm2\.only/);
  world.file('B', 'eco.config.cjs', apps(14));
  const fits = await world.drive('prepare', 'B');
  assert.strictEqual(fits.code, 0, fits.all);
  fs.unlinkSync(limits);
});

test("a daemon that lives and can't be called is never taken for none", async () => {
  world.settings();
  const [socket, aside] = ['rpc.sock', 'aside.sock'].map(name => path.join(world.home, name));
  fs.renameSync(socket, aside);
  try {
    const look = world.drive('baseline', 'B');
    setTimeout(() => fs.renameSync(aside, socket), 1200);
    assert.strictEqual((await look).fact[0], 'service online 2/2 A');
    fs.renameSync(socket, aside);
    const refused = await world.drive('baseline', 'B');
    assert.strictEqual(refused.code, 1, refused.all);
    assert.match(refused.why.join(), /PM2's daemon \(pid \d+\) runs, but can't be called at .*rpc\.sock: ENOENT/);
  } finally {
    if (fs.existsSync(aside)) fs.renameSync(aside, socket);
  }
});

test('the boot test reads the marker where the candidate works', async () => {
  world.settings();
  world.release('B');
  const boot = async () => {
    assert.strictEqual((await world.drive('prepare', 'B')).code, 0);
    return world.drive('boot', 'B');
  };
  assert.strictEqual((await boot()).code, 0);
  world.file('B', '.release.json', '{"id":"A"}');
  const wrong = await boot();
  assert.strictEqual(wrong.code, 1);
  assert.match(wrong.why.join(), /\.release\.json, where it works, names A instead of B/);
  fs.unlinkSync(path.join(world.base, 'releases', 'B', '.release.json'));
  assert.match((await boot()).why.join(), /names no release/);
});

test('a candidate that works elsewhere is proved by the marker it serves, or said not to be', async () => {
  const serving = id => `${SERVERS.good.replace("if (q.url === '/') {", `if (q.url === '/.release.json') return a.end('{"id":"${id}"}');\n  if (q.url === '/') {`)}\nprocess.chdir('/');`;
  const boot = async text => {
    world.file('B', 'server.js', text);
    assert.strictEqual((await world.drive('prepare', 'B')).code, 0);
    return world.drive('boot', 'B');
  };
  const proved = await boot(serving('B'));
  assert.strictEqual(proved.code, 0, proved.all);
  assert.doesNotMatch(proved.note.join('\n'), /not provable/);
  const wrong = await boot(serving('A'));
  assert.match(wrong.why.join(), /its \/\.release\.json names "A" instead of B/);
  const silent = await boot(`${SERVERS.good}\nprocess.chdir('/');`);
  assert.strictEqual(silent.code, 0, silent.all);
  assert.match(silent.note.join('\n'), /not provable here: it works in \//);
  world.release('B');
});

test('a page that names an asset which is not there fails the boot test', async () => {
  world.release('U', 'unstyled');
  assert.strictEqual((await world.drive('prepare', 'U')).code, 0);
  const boot = await world.drive('boot', 'U');
  assert.strictEqual(boot.code, 1);
  assert.match(boot.why.join(), /the page names \/app\.css, which answers 404/);
});

test('a PM2 that gives no list is no baseline', async () => {
  const tools = path.join(world.root, 'tools');
  fs.mkdirSync(tools);
  fs.writeFileSync(path.join(tools, 'pm2'), '#!/bin/sh\necho "[ not json"\n', { mode: 0o755 });
  const clean = world.clean;
  world.clean = { ...clean, PATH: `${tools}:${clean.PATH}` };
  fs.rmSync(path.join(world.dir, 'baseline.json'));
  const look = await world.drive('baseline', 'B');
  world.clean = clean;
  assert.strictEqual(look.code, 1);
  assert.match(look.why.join(), /pm2 jlist gave no list: exit 0/);
  assert.ok(!fs.existsSync(path.join(world.dir, 'baseline.json')), 'nothing that a revert could believe');
});
