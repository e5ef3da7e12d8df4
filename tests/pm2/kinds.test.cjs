// The PM2 driver on a real PM2: fork mode, ecosystem files, odd values, and what baseline refuses.
'use strict';
const assert = require('node:assert');
const childProcess = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test, before, after, afterEach } = require('node:test');
const { World, freePort } = require('./world.cjs');

let world;
before(async () => {
  // Nothing here is to be late: what fails does so by itself.
  world = await new World('base').init({}, { within_ms: 25000 });
  ['A', 'B'].forEach(id => world.release(id));
  world.release('bad', 'exits');
  // The daemon outlives the tests' apps.
  fs.writeFileSync(path.join(world.root, 'idle.js'), 'setInterval(() => {}, 1e6)');
  world.pm2('start', path.join(world.root, 'idle.js'), '--name', 'idle', '--cwd', world.root);
});
after(() => world.end());
afterEach(async () => {
  const ids = world.list().filter(worker => worker.name !== 'idle').map(worker => String(worker.id));
  if (ids.length) world.pm2('delete', ...ids);
  world.swap('');
  world.old = '';
  world.port = await freePort();
});

const health = async () => JSON.parse((await world.get()).body);

test('fork mode: deploy, again, and back', async () => {
  world.settings({ mode: 'fork', instances: 1 });
  await world.good('A', { boot: true });
  await world.good('B');
  assert.deepStrictEqual(world.list('web').map(w => [w.release, w.restarts]), [['B', 1]]);
  const last = await world.deploy('bad');
  assert.strictEqual(last.code, 1, last.all);
  assert.match(last.log.join('\n'), /bye at once/);
  const back = await world.revert('bad');
  assert.strictEqual(back.code, 0, back.all);
  assert.deepStrictEqual(world.list('web').map(w => [w.release, w.status]), [['B', 'online']]);
  assert.strictEqual((await health()).release, 'B');
});

test('npm start in fork mode: the process that answers is a grandchild', async () => {
  world.file('A', 'package.json', '{"name":"x","scripts":{"start":"node server.js"}}');
  world.settings({ mode: 'fork', instances: 1, script: 'npm', args: ['start'] });
  const last = await world.good('A', { boot: true });
  assert.strictEqual(last.code, 0);
  const status = await world.drive('status', 'A');
  assert.deepStrictEqual(status.worker.map(line => JSON.parse(line).proof), ['proved']);
});

['cluster', 'fork'].forEach(mode => test(`odd values arrive byte for byte, also changed ones, and come back (${mode})`, async () => {
  const odd = 'a b\t"q" \'s\' $(touch oops) `x` \\n \\\\ %s\nsecond line\r€ ü 日本 \u2028 ';
  const name = 'it\'s "odd" $(touch oops) ü';
  const secret = 's3cret-value-of-a-shared-file';
  fs.writeFileSync(path.join(world.base, 'shared', 'env'), `WORD='${secret}'\n`);
  const told = [];
  const step = async (id, ODD) => {
    world.settings({ mode, instances: 1, name, env: { ODD, NODE_OPTIONS: '--max-old-space-size=300' }, env_file: 'env' });
    const last = await world.deploy(id);
    told.push(last.all);
    return last;
  };
  assert.strictEqual((await step('A', odd)).code, 0);
  world.old = 'A';
  assert.deepStrictEqual((await health()).env, { odd, word: secret });
  assert.strictEqual((await step('B', odd + '2')).code, 0);
  assert.deepStrictEqual((await health()).env, { odd: odd + '2', word: secret });
  told.push((await world.revert('B')).all);
  assert.deepStrictEqual((await health()).env, { odd, word: secret });
  assert.strictEqual((await health()).release, 'A');
  const daemon = fs.readFileSync(path.join(world.home, 'pm2.pid'), 'utf8').trim();
  assert.ok(!fs.readFileSync(`/proc/${daemon}/environ`, 'utf8').includes(secret));
  assert.ok(!told.join('').includes(secret));
  assert.ok(!fs.existsSync(path.join(world.base, 'oops')));
}));

test('an ecosystem of two apps: each is proved; an app that is new goes away again', async () => {
  const file = (id, more, port) => world.file(id, 'eco.config.cjs', `module.exports = { apps: [{ name: 'front', script: 'server.js', cwd: __dirname, instances: 2, env: { PORT: ${port} } }${more}] }`);
  world.settings({ ecosystem: 'eco.config.cjs', script: null });
  file('A', ", { name: 'jobs', script: 'jobs.js' }", world.port);
  world.file('A', 'jobs.js', 'setInterval(() => {}, 1000)');
  await world.good('A', { boot: true });
  assert.deepStrictEqual(world.list().filter(w => w.name !== 'idle').map(w => [w.name, w.release]), [['front', 'A'], ['front', 'A'], ['jobs', 'A']]);
  world.release('half');
  file('half', ", { name: 'more', script: 'jobs.js' }", world.port);
  world.file('half', 'jobs.js', 'throw new Error("no")');
  const last = await world.deploy('half');
  assert.strictEqual(last.code, 1, last.all);
  assert.match(last.why.join(), /of more/);
  const back = await world.revert('half');
  assert.strictEqual(back.code, 0, back.all);
  assert.deepStrictEqual(world.list().filter(w => w.name !== 'idle').map(w => [w.name, w.release, w.status]), [['front', 'A', 'online'], ['front', 'A', 'online'], ['jobs', 'A', 'online']]);
});

test('an app that was stopped before stays stopped when a deploy is taken back', async () => {
  world.settings();
  await world.good('A');
  world.pm2('stop', 'web');
  const look = await world.drive('baseline', 'bad');
  assert.match(look.fact[0], /service broken worker \d+ is stopped, 0 of 2 online/);
  assert.strictEqual((await world.deploy('bad')).code, 1);
  const back = await world.revert('bad');
  assert.deepStrictEqual([back.code, back.fact], [0, ['before unhealthy']], back.all);
  assert.deepStrictEqual(world.list('web').map(w => w.status), ['stopped', 'stopped']);
});

test('new limits reach a running app', async () => {
  world.settings({ instances: 1 });
  await world.good('A');
  world.settings({ instances: 1, kill_timeout_ms: 2345, listen_timeout_ms: 1999, max_memory: '300M' });
  await world.good('B');
  const [{ env }] = world.list('web');
  assert.deepStrictEqual([env.kill_timeout, env.listen_timeout, env.max_memory_restart], [2345, 1999, 300 * 1024 * 1024]);
});

test('an app that is tied to a release is refused with the cure', async () => {
  world.settings();
  world.swap('A');
  childProcess.spawnSync('pm2', ['start', 'server.js', '--name', 'web'], { cwd: path.join(world.base, 'current'), env: { ...world.clean, PORT: String(world.port) } });
  const look = await world.drive('baseline', 'B');
  assert.strictEqual(look.code, 0, look.all);
  assert.match(look.refuse.join(), /tied to .*releases\/A.*\tpm2 delete web && pm2 save/);
  const ready = await world.drive('prepare', 'B');
  assert.strictEqual(ready.code, 1);
});

test('an app of that name from elsewhere is refused and never touched', async () => {
  fs.writeFileSync(path.join(world.root, 'other.js'), 'setInterval(() => {}, 1e6)');
  world.pm2('start', path.join(world.root, 'other.js'), '--name', 'web', '--cwd', world.root);
  const [was] = world.list('web');
  world.settings();
  const look = await world.drive('baseline', 'A');
  assert.match(look.refuse.join(), /runs from .*not touched\tchoose another `app` name/);
  assert.strictEqual((await world.drive('prepare', 'A')).code, 1);
  world.swap('');
  await world.drive('revert', 'A');
  assert.deepStrictEqual(world.list('web').map(w => [w.pid, w.status]), [[was.pid, 'online']]);
});

test('another script, mode or node_args is refused; another number of workers is said', async () => {
  world.settings();
  await world.good('A');
  world.settings({ script: 'release.cjs', mode: 'fork', node_args: ['--trace-warnings'], instances: 3 });
  const look = await world.drive('baseline', 'B');
  assert.match(look.refuse.join(), /another script .*; mode cluster, now fork; node_args .*\tpm2 delete web && pm2 save, then deploy again/);
  assert.match(look.fact.join('\n'), /warn PM2 runs 2 workers of web, the settings say 3.*pm2 scale web 3/);
});

test('a port that somebody else holds is refused by name', async () => {
  const holder = childProcess.spawn(process.execPath, ['-e', `require('net').createServer().listen(${world.port}, () => console.log('up')); 'the holder'`]);
  await new Promise(resolve => holder.stdout.once('data', resolve));
  world.settings();
  const look = await world.drive('baseline', 'A');
  holder.kill();
  assert.match(look.refuse.join(), new RegExp(`port ${world.port} is held by process ${holder.pid} \\(.*node`));
});

test("the port of PM2's other cluster app is refused by that app's name", async () => {
  fs.writeFileSync(path.join(world.root, 'srv.js'), "require('http').createServer((q, a) => a.end('x')).listen(process.env.PORT)");
  childProcess.spawnSync('pm2', ['start', path.join(world.root, 'srv.js'), '--name', 'other', '-i', '1', '--cwd', world.root], { cwd: world.root, env: { ...world.clean, PORT: String(world.port) } });
  while ((await world.get()).status !== 200) await new Promise(resolve => setTimeout(resolve, 50));
  world.settings();
  const look = await world.drive('baseline', 'A');
  assert.match(look.refuse.join(), /is held by PM2's app other\t.*pm2 delete other/);
});

test('an app called like a number is not confused with a worker', async () => {
  world.settings({ instances: 1 });
  await world.good('A');
  const [{ id, pid }] = world.list('web');
  world.pm2('start', path.join(world.root, 'idle.js'), '--name', String(id), '--cwd', world.root);
  const other = world.list(String(id));
  assert.strictEqual(other.length, 1);
  const last = await world.deploy('B');
  assert.strictEqual(last.code, 1, last.all);
  assert.match(last.why.join(), /also a worker's number/);
  assert.strictEqual((await world.revert('B')).code, 0);
  assert.deepStrictEqual([world.list('web')[0].pid, world.list(String(id))[0].pid], [pid, other[0].pid]);
  world.pm2('delete', String(id));
});

test('log shows the last lines of both logs', async () => {
  world.release('L');
  world.file('L', 'server.js', fs.readFileSync(path.join(world.base, 'releases', 'A', 'server.js'), 'utf8') + "\nconsole.log('to out'); console.error('to err');");
  world.settings({ name: 'chatty', instances: 1 });
  await world.good('L');
  const log = await world.drive('log', 'L', '{"names":["chatty"]}');
  assert.deepStrictEqual(log.log.sort(), ['err: to err', 'out: to out']);
});
