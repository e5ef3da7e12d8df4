// Apps that somebody started inside a release: found, moved to `current` without a lost request, put back from every
// point at which a move can be cut off, or refused with the commands.
'use strict';
const assert = require('node:assert');
const childProcess = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test, before, after, describe } = require('node:test');
const { World, SERVERS, until } = require('./world.cjs');

// As an app should end: it answers what it has accepted, and refuses nothing that is on its way to it.
const ENDS_WELL = "\nprocess.on('SIGINT', () => { server.close(); setTimeout(() => process.exit(0), 600); });";
const GRACEFUL = SERVERS.good + ENDS_WELL;

// As a person starts it, in the directory itself; `more` goes to pm2.
function startPinned(world, id, more = ['-i', '2']) {
  const cwd = path.join(world.base, 'releases', id);
  const run = childProcess.spawnSync('pm2', ['start', 'server.js', '--name', 'web', ...more], { cwd, env: { ...world.clean, PORT: String(world.port) }, encoding: 'utf8' });
  assert.strictEqual(run.status, 0, run.stdout + run.stderr);
  return until(() => world.list('web').every(worker => worker.status === 'online' && worker.release === id), 'the pinned app');
}

// Three releases, `live` of them in `current`, and an app that ends well and was started inside A.
async function pinCluster(world, live) {
  ['A', 'B', 'C'].forEach(id => {
    world.release(id);
    world.file(id, 'server.js', GRACEFUL);
  });
  world.swap(live);
  world.old = live;
  await startPinned(world, 'A');
}

// Runs apart, so that nothing the test does holds it up.
const LOAD = `
const http = require('http');
const seen = { good: 0, lost: [], releases: [] };
let going = true;
const one = () => new Promise(resolve => {
  const call = http.get({ port: process.argv[1], host: '127.0.0.1', path: '/api/health', agent: false, timeout: 5000 }, answer => {
    let body = '';
    answer.on('data', chunk => (body += chunk));
    answer.on('error', error => resolve(seen.lost.push(error.message)));
    answer.on('end', () => {
      if (answer.statusCode !== 200) return resolve(seen.lost.push('status ' + answer.statusCode));
      const { release } = JSON.parse(body);
      if (!seen.releases.includes(release)) seen.releases.push(release);
      return resolve(seen.good++);
    });
  });
  call.on('timeout', () => call.destroy(new Error('no answer within 5 s')));
  call.on('error', error => resolve(seen.lost.push(error.message)));
});
process.stdin.on('end', () => (going = false)).resume();
Promise.all([1, 2].map(async () => {
  // Hardly a pause: the workers and PM2 need what is left of a small machine.
  for (; going; await new Promise(resolve => setTimeout(resolve, 5))) await one();
})).then(() => process.stdout.write(JSON.stringify(seen)));`;

// Asks over new connections, one right after the other, until it is told to stop: what came of it.
const load = world => world.load(LOAD);

const byCurrent = (world, worker) => worker.env.pm_cwd === path.join(world.base, 'current');

describe('an app that was started inside a release', () => {
  let world;
  before(async () => {
    world = await new World().init({ kill_timeout_ms: 2000 }, { within_ms: 25000 });
    await pinCluster(world, 'A');
  });
  after(() => world.end());

  // The one of before, in its release, and nothing else.
  const untouched = back => {
    assert.strictEqual(back.code, 0, back.all);
    assert.ok(back.fact.includes('before healthy'), back.all);
    const all = world.list();
    assert.deepStrictEqual(all.map(worker => [worker.name, worker.release, worker.status]), [['web', 'A', 'online'], ['web', 'A', 'online']], back.all);
    assert.ok(all.every(worker => worker.env.pm_cwd === path.join(world.base, 'releases/A')));
  };

  test('is told by status and by the look before a deploy', async () => {
    const status = await world.drive('status', 'A', '{"names":["web"]}');
    assert.deepStrictEqual(status.worker.map(line => JSON.parse(line).pinned), ['releases/A/server.js', 'releases/A/server.js']);
    const look = await world.drive('baseline', 'B');
    assert.deepStrictEqual(look.refuse, [], look.all);
    assert.match(look.note.join('\n'), /web is tied to releases\/A\/server.js: .*; this deploy moves it without a gap/);
  });

  test('stays as it is, untouched, when the release that it would be moved to is bad', async () => {
    const pids = world.list('web').map(worker => worker.pid);
    for (const kind of ['exits', 'sick', 'second']) {
      const id = `bad-${kind}`;
      world.release(id, kind);
      world.file(id, 'server.js', SERVERS[kind] + ENDS_WELL);
      const stop = load(world);
      const last = await world.deploy(id);
      assert.strictEqual(last.code, 1, last.all);
      assert.match(last.why.join(), /worker . of 2.* of web.moving/);
      untouched(await world.revert(id));
      assert.deepStrictEqual(world.list('web').map(worker => worker.pid), pids, 'the very same processes');
      assert.deepStrictEqual((await stop()).lost.filter(what => kind !== 'sick' || what !== 'status 500'), []);
    }
  });

  // Ends the driver at a moment of the move that the list of PM2 tells, as a crash would.
  const cuts = {
    'while the second app starts': list => list.some(w => w.name === 'web.moving'),
    'between two of its workers': list => list.filter(w => w.name === 'web').length === 1,
    'when only the second app runs': list => list.length > 0 && !list.some(w => w.name === 'web'),
    'while it is started anew': list => list.some(w => w.name === 'web.moving') && list.some(w => w.name === 'web' && byCurrent(world, w)),
    'when it is all done': list => !list.some(w => w.name === 'web.moving') && list.length === 2 && list.every(w => w.name === 'web' && byCurrent(world, w)),
  };
  Object.keys(cuts).forEach(when => {
    test(`a move that is cut off ${when} is taken back without a lost request`, async () => {
      for (const verb of ['baseline', 'prepare']) assert.strictEqual((await world.drive(verb, 'B')).code, 0);
      world.swap('B');
      const stop = load(world);
      const active = world.drive('activate', 'B');
      const { child } = world;
      for (;;) {
        if (cuts[when](world.list())) break;
        assert.ok(child.exitCode === null || when.includes('done'), `the move was over before it was ${when}`);
      }
      child.kill('SIGKILL');
      await active;
      untouched(await world.revert('B'));
      const again = world.list('web').map(worker => worker.pid);
      untouched(await world.revert('B'));
      assert.deepStrictEqual(world.list('web').map(worker => worker.pid), again, 'a second revert finds nothing to do');
      const seen = await stop();
      assert.deepStrictEqual(seen.lost, []);
      assert.ok(seen.good > 100);
    });
  });

  test('is moved without a lost request, and is one like all others from then on', async () => {
    const stop = load(world);
    const last = await world.good('B');
    const seen = await stop();
    assert.strictEqual(last.code, 0, last.all);
    assert.deepStrictEqual(seen.lost, []);
    assert.deepStrictEqual(seen.releases.sort(), ['A', 'B']);
    console.log(`# ${seen.good} requests during the move, ${seen.lost.length} lost`);
    const all = world.list();
    assert.deepStrictEqual(all.map(worker => [worker.name, worker.release, worker.status]), [['web', 'B', 'online'], ['web', 'B', 'online']]);
    assert.ok(all.every(worker => byCurrent(world, worker)));
    assert.strictEqual((await world.drive('commit', 'B')).code, 0);
    assert.ok(!fs.readFileSync(path.join(world.home, 'dump.pm2'), 'utf8').includes('moving'));
    await world.good('C');
    assert.deepStrictEqual(world.list('web').map(worker => [worker.id, worker.restarts]), all.map(worker => [worker.id, 1]), 'a plain reload');
  });

  test('what a move has left behind is refused and named', async () => {
    world.pm2('start', path.join(world.base, 'current/server.js'), '--name', 'web.moving', '-i', '1', '--cwd', path.join(world.base, 'current'));
    const look = await world.drive('baseline', 'B');
    assert.match(look.refuse.join(), /has an app web.moving.*\tpm2|has an app web.moving[^]*pm2 delete web.moving && pm2 save/);
    world.pm2('delete', 'web.moving');
  });
});

describe('an app that was started inside a release and has kept it for long', () => {
  let world;
  before(async () => {
    world = await new World().init({ kill_timeout_ms: 2000 }, { within_ms: 25000 });
    await pinCluster(world, 'B');
  });
  after(() => world.end());

  test('gets back its own release, not the one that current names', async () => {
    world.release('Z', 'cyclic');
    const last = await world.deploy('Z', { soak: 3000 });
    assert.strictEqual(last.code, 1, last.all);
    const back = await world.revert('Z');
    assert.strictEqual(back.code, 0, back.all);
    assert.deepStrictEqual(world.list().map(worker => [worker.name, worker.release]), [['web', 'A'], ['web', 'A']]);
    assert.strictEqual(JSON.parse((await world.get()).body).release, 'A');
    await world.good('C');
    assert.deepStrictEqual(world.list().map(worker => [worker.name, worker.release]), [['web', 'C'], ['web', 'C']]);
  });
});

describe('an app in fork mode that was started inside a release', () => {
  let world;
  before(async () => {
    world = await new World().init();
    ['A', 'B'].forEach(id => world.release(id));
    world.swap('A');
    world.old = 'A';
    await startPinned(world, 'A', []);
  });
  after(() => world.end());

  test('is refused with the commands, whatever the settings say', async () => {
    for (const mode of ['cluster', 'fork']) {
      world.settings({ mode });
      const look = await world.drive('baseline', 'B');
      assert.strictEqual(look.refuse.length, 1, look.all);
      assert.match(look.refuse[0], /tied to releases\/A\/server.js[^]*fork mode[^]*\tpm2 delete web && pm2 save, then deploy again/);
    }
  });
});
