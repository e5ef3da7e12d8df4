// The PM2 driver on a real PM2: first start, later deploys, every kind of bad release taken back, broken baselines.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test, before, after, describe } = require('node:test');
const { World, SERVERS, until } = require('./world.cjs');

const pidsOf = workers => workers.map(worker => worker.pid);
const same = (workers, release) => workers.every(worker => worker.status === 'online' && worker.release === release);

describe('a cluster of two, in a folder with an odd name', () => {
  let world;
  before(async () => {
    world = await new World("my app's $(touch oops) ü").init();
    ['A', 'B', 'C'].forEach(id => world.release(id));
  });
  after(() => world.end());

  test('a look before anything exists starts no daemon', async () => {
    const look = await world.drive('baseline', 'A');
    assert.strictEqual(look.code, 0, look.all);
    assert.deepStrictEqual(look.fact, ['service absent', 'health none']);
    const status = await world.drive('status', 'A', '{"names":["web"]}');
    assert.deepStrictEqual([status.code, status.worker], [0, []]);
    assert.ok(!fs.existsSync(path.join(world.home, 'pm2.pid')));
  });

  test('a first deploy that is bad leaves nothing behind', async () => {
    world.release('Z', 'exits');
    const last = await world.deploy('Z');
    assert.strictEqual(last.code, 1, last.all);
    const back = await world.revert('Z');
    assert.strictEqual(back.code, 0, back.all);
    assert.deepStrictEqual(world.list(), []);
  });

  test('the first good deploy starts both workers through current', async () => {
    const last = await world.good('A', { boot: true });
    assert.strictEqual(last.code, 0);
    const workers = world.list('web');
    assert.strictEqual(workers.length, 2);
    assert.ok(same(workers, 'A'));
    assert.strictEqual(workers[0].env.pm_cwd, path.join(world.base, 'current'));
    assert.strictEqual(workers[0].env.pm_exec_path, path.join(world.base, 'current', 'server.js'));
    assert.ok(!Object.keys(workers[0].env.env).some(key => key.startsWith('SHIPIT_')));
  });

  test('the second one replaces them one at a time', async () => {
    await world.good('B');
    const workers = world.list('web');
    assert.ok(same(workers, 'B'));
    assert.deepStrictEqual(workers.map(worker => worker.restarts), [1, 1]);
    assert.strictEqual(JSON.parse((await world.get()).body).release, 'B');
    const commit = await world.drive('commit', 'B');
    assert.strictEqual(commit.code, 0, commit.all);
    assert.ok(fs.readFileSync(path.join(world.home, 'dump.pm2'), 'utf8').includes('current/server.js'));
  });

  test('status proves and contradicts', async () => {
    const fine = await world.drive('status', 'B', '{"names":["web"]}');
    assert.deepStrictEqual(fine.worker.map(line => JSON.parse(line).proof), ['proved', 'proved']);
    const unnamed = await world.drive('status', 'B', '{"names":[]}');
    assert.deepStrictEqual(unnamed.worker.map(line => JSON.parse(line).name), ['web', 'web'], 'all that work in this home');
    const wrong = await world.drive('status', 'A');
    assert.deepStrictEqual(wrong.worker.map(line => JSON.parse(line).proof), ['contradicted', 'contradicted']);
  });

  const reasons = {
    exits: /restarted by PM2|ended by itself/, throws: /restarted by PM2|ended by itself/, syntax: /restarted by PM2|ended by itself/,
    unreachable: /restarted by PM2|ended by itself/, silent: /no connection|another|answer/, brief: /restarted|ended/, cyclic: /restarted during the soak/,
    second: /worker 2 of 2/, rejects: /no connection|another|answer/, sick: /status 500 instead of 200/, empty: /restarted by PM2|ended by itself|not in the release/,
  };
  Object.keys(reasons).forEach(kind => {
    test(`a release that is bad (${kind}) is found out and taken back`, async () => {
      const id = `bad-${kind}`;
      world.release(id, kind);
      const live = world.list('web');
      let last = await world.deploy(id, { soak: kind === 'cyclic' ? 3000 : 1000 });
      if (kind === 'empty') {
        assert.match(last.why.join(), /not in the release/);
        world.swap(id);
        last = await world.drive('activate', id);
      }
      assert.strictEqual(last.code, 1, last.all);
      assert.match(last.why.join(), reasons[kind], last.all);
      assert.strictEqual(last.why.length, 1);
      if (kind === 'brief') assert.match(last.log.join('\n'), /err: going down/);
      if (kind === 'silent') assert.deepStrictEqual(last.log, ["PM2's logs have nothing new from it"]);
      const touched = world.list('web').filter((worker, i) => worker.pid !== live[i].pid).map(worker => worker.id);
      const back = await world.revert(id);
      assert.strictEqual(back.code, 0, back.all);
      assert.ok(back.fact.includes('before healthy'), back.all);
      const now = world.list('web');
      assert.ok(same(now, 'B'), back.all);
      now.filter(worker => !touched.includes(worker.id)).forEach(worker => assert.ok(pidsOf(live).includes(worker.pid), 'an untouched worker keeps its process'));
      if (!['cyclic', 'brief', 'second'].includes(kind)) assert.strictEqual(touched.length, 1, 'the second worker is not touched');
      assert.strictEqual((await world.get()).status, 200);
      const again = await world.revert(id);
      assert.strictEqual(again.code, 0, again.all);
      assert.deepStrictEqual(pidsOf(world.list('web')), pidsOf(now), 'a second revert finds nothing to do');
    });
  });

  test('a stop between two workers leaves the second one alone, revert needs only the baseline', async () => {
    const live = world.list('web');
    await world.drive('baseline', 'C');
    await world.drive('prepare', 'C');
    world.swap('C');
    const active = world.drive('activate', 'C');
    await until(() => !fs.existsSync(`/proc/${live[0].pid}/cwd`), "the first old worker's end");
    fs.writeFileSync(path.join(world.dir, 'stop'), '');
    assert.strictEqual((await active).code, 2);
    fs.unlinkSync(path.join(world.dir, 'stop'));
    assert.strictEqual(world.list('web')[1].pid, live[1].pid);
    ['live.json', 'apps.json', 'service.json'].forEach(name => fs.unlinkSync(path.join(world.dir, name)));
    const back = await world.revert('C');
    assert.strictEqual(back.code, 0, back.all);
    assert.ok(same(world.list('web'), 'B'));
    assert.strictEqual(world.list('web')[1].pid, live[1].pid);
    world.settings();
  });

  test("PM2's lock, held by somebody else, is waited out", async () => {
    fs.writeFileSync(path.join(world.home, 'reload.lock'), String(Date.now() - 27500));
    const last = await world.deploy('C');
    assert.strictEqual(last.code, 0, last.all);
    world.old = 'C';
    assert.ok(same(world.list('web'), 'C'));
  });

  test('an app that was deleted meanwhile is started as it was', async () => {
    await world.drive('baseline', 'B');
    world.pm2('delete', 'web');
    const back = await world.revert('B');
    assert.strictEqual(back.code, 0, back.all);
    const workers = world.list('web');
    assert.strictEqual(workers.length, 2);
    assert.ok(same(workers, 'C'));
    assert.strictEqual(workers[0].env.pm_exec_path, path.join(world.base, 'current', 'server.js'));
  });

  test('a daemon that was killed meanwhile is brought back', async () => {
    await world.drive('baseline', 'B');
    const daemon = Number(fs.readFileSync(path.join(world.home, 'pm2.pid'), 'utf8'));
    process.kill(daemon, 'SIGKILL');
    await until(() => !fs.existsSync(`/proc/${daemon}/cwd`), "the daemon's end");
    const back = await world.revert('B');
    assert.strictEqual(back.code, 0, back.all);
    assert.ok(same(world.list('web'), 'C'));
    assert.strictEqual((await world.get()).status, 200);
  });

  test('a live release that is broken: a bad deploy restores that, a good one mends it', async () => {
    world.file('C', 'server.js', SERVERS.cyclic);
    world.pm2('restart', 'web');
    const told = world.list('web').map(worker => worker.restarts);
    await until(() => world.list('web').every((worker, i) => worker.restarts >= told[i] + 2), 'two rounds of its cycle', 30000);
    const restless = await world.drive('baseline', 'X');
    assert.match(restless.fact[0], /service broken worker \d+ (keeps restarting|is launching|is stopped)/);
    world.release('Y', 'exits');
    assert.strictEqual((await world.deploy('Y')).code, 1);
    const undone = await world.revert('Y');
    assert.deepStrictEqual([undone.code, undone.fact], [0, ['before unhealthy']], undone.all);
    world.file('C', 'server.js', 'throw new Error("broken on the host")');
    // PM2 gives up on what ends within `min_uptime`, and counts that from the fork: a busy machine needs more than its
    // second for the start alone.
    // By `exec`: a `script` with a blank in its path is started through bash.
    const patience = path.join(world.root, 'patience.json');
    const [cwd, exec] = [path.join(world.base, 'current'), path.join(world.base, 'current', 'server.js')];
    fs.writeFileSync(patience, JSON.stringify({ apps: [{ name: 'web', cwd, exec, exec_mode: 'cluster', instances: 2, min_uptime: 600000, max_restarts: 3 }] }));
    world.pm2('restart', patience);
    await until(() => world.list('web').every(worker => worker.status === 'errored'), 'errored workers', 60000);
    const look = await world.drive('baseline', 'X');
    assert.match(look.fact.join('\n'), /service broken[^]*health nothing listens/);
    world.release('X', 'exits');
    assert.strictEqual((await world.deploy('X')).code, 1);
    const back = await world.revert('X');
    assert.strictEqual(back.code, 0, back.all);
    assert.ok(back.fact.includes('before unhealthy'));
    assert.ok(world.list('web').every(worker => worker.release !== 'X'));
    world.release('D');
    await world.good('D');
    assert.ok(same(world.list('web'), 'D'));
  });

  test('nothing of a name or path was executed', () => {
    assert.ok(!fs.existsSync(path.join(world.base, 'oops')) && !fs.existsSync('oops'));
  });
});
