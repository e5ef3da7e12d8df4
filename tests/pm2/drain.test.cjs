// What a reload costs those who are asking: nothing, with the preload; and what an app becomes whose settings change in
// what no reload changes.
'use strict';
const assert = require('node:assert');
const childProcess = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test, before, after, describe } = require('node:test');
const { World, SERVERS, until } = require('./world.cjs');

// Asks in five ways at once, each again and again: kept connections and new ones, with and without a body, and slowly.
// A request that gets no whole answer of 200 is lost.
const LOAD = `
const http = require('http');
const port = process.argv[1];
const seen = { good: 0, lost: [], releases: [] };
let going = true;
const ask = (agent, method, path) => new Promise(resolve => {
  const end = what => resolve(what ? seen.lost.push(method + ' ' + path + (agent ? ' kept: ' : ' new: ') + what) : seen.good++);
  const call = http.request({ port, host: '127.0.0.1', method, path, agent, timeout: 9000 }, answer => {
    let body = '';
    answer.on('data', chunk => (body += chunk));
    answer.on('error', error => end(error.message));
    answer.on('end', () => {
      if (answer.statusCode !== 200) return end('status ' + answer.statusCode);
      try {
        const { release } = JSON.parse(body);
        if (!seen.releases.includes(release)) seen.releases.push(release);
        return end();
      } catch (error) {
        return end('half an answer');
      }
    });
  });
  call.on('timeout', () => call.destroy(new Error('no answer within 9 s')));
  call.on('error', error => end(error.code || error.message));
  call.end(method === 'POST' ? 'x'.repeat(2000) : undefined);
});
process.stdin.on('end', () => (going = false)).resume();
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
const ways = [['GET', '/api/health', true, 5], ['POST', '/api/health', true, 5], ['GET', '/api/health', false, 5], ['POST', '/api/health', false, 5], ['GET', '/slow', true, 50]];
Promise.all(ways.map(async ([method, path, kept, ms]) => {
  const agent = kept && new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (; going; await pause(ms)) await ask(agent, method, path);
  if (agent) agent.destroy();
})).then(() => process.stdout.write(JSON.stringify(seen)));`;

const load = world => world.load(LOAD);

// An answer that takes longer than PM2 waits by default.
const SLOW = SERVERS.good.replace("if (q.url === '/')", "if (q.url === '/slow') return setTimeout(() => a.end(JSON.stringify({ release: RELEASE })), 2500);\n  if (q.url === '/')");

const shape = world => world.list('web').map(worker => [worker.status, worker.release, worker.env.node_args.includes(path.join(world.base, '.shipit/drain.cjs'))]);

describe('an app whose settings change', () => {
  let world;
  before(async () => {
    world = await new World('my app').init({ kill_timeout_ms: 8000, listen_timeout_ms: 8000 }, { within_ms: 60000 });
    ['A', 'B', 'C', 'D'].forEach(id => {
      world.release(id);
      world.file(id, 'server.js', SLOW);
      world.file(id, 'other.js', SLOW);
    });
    await world.good('A');
  });
  after(() => world.end());

  test('drains from the first deploy on that says so, and then loses no request', async () => {
    assert.deepStrictEqual(shape(world), [['online', 'A', false], ['online', 'A', false]]);
    world.settings({ drain: true, kill_timeout_ms: 8000, listen_timeout_ms: 8000 });
    const look = await world.drive('baseline', 'B');
    assert.match(look.note.join('\n'), /web is one with another node_args \[\], now .*drain.cjs.*; this deploy moves it without a gap/);
    await world.good('B');
    assert.deepStrictEqual(shape(world), [['online', 'B', true], ['online', 'B', true]]);
    const ids = world.list('web').map(worker => worker.id);
    const stop = load(world);
    await world.good('C');
    world.release('bad', 'exits');
    const bad = await world.deploy('bad');
    assert.strictEqual(bad.code, 1, bad.all);
    const back = await world.revert('bad');
    assert.strictEqual(back.code, 0, back.all);
    const seen = await stop();
    console.log(`# ${seen.good} requests during a reload, and one that was taken back: ${seen.lost.length} lost`);
    assert.deepStrictEqual(seen.lost, []);
    assert.ok(seen.good > 200, `${seen.good}`);
    assert.deepStrictEqual(seen.releases.sort(), ['B', 'C']);
    assert.deepStrictEqual(world.list('web').map(worker => worker.id), ids, 'plain reloads');
  });

  test('gets another script, arguments and number of workers without a lost request; and all of it back', async () => {
    const settings = { drain: true, kill_timeout_ms: 8000, listen_timeout_ms: 8000, script: 'other.js', args: ['more'], instances: 3 };
    // The sick one is given up soon; what is good is not to be late on a slow machine.
    world.settings(settings, { within_ms: 6000 });
    const stop = load(world);
    world.release('bad', 'empty');
    world.file('bad', 'other.js', SERVERS.sick);
    world.file('bad', 'release.cjs', "module.exports = 'bad';");
    const bad = await world.deploy('bad');
    assert.match(bad.why.join(), /of web.moving/, bad.all);
    const back = await world.revert('bad');
    assert.strictEqual(back.code, 0, back.all);
    assert.deepStrictEqual(shape(world), [['online', 'C', true], ['online', 'C', true]], back.all);
    world.settings(settings);
    const last = await world.good('D');
    assert.strictEqual(last.code, 0, last.all);
    const seen = await stop();
    // The sick one shares the port until it is taken back.
    assert.deepStrictEqual(seen.lost.filter(what => !what.endsWith('status 500')), []);
    assert.deepStrictEqual(shape(world), [['online', 'D', true], ['online', 'D', true], ['online', 'D', true]]);
    assert.ok(world.list('web').every(worker => worker.env.pm_exec_path.endsWith('/current/other.js') && worker.env.args.includes('more')));
    assert.ok(!world.list().some(worker => worker.name.endsWith('.moving')));
    assert.match(fs.readFileSync(path.join(world.base, '.shipit/drain.cjs'), 'utf8'), /server/);
  });
});

describe('an app of one worker', () => {
  let world;
  const ids = () => world.list('web').map(worker => worker.id);
  const env = () => world.list('web').map(worker => [worker.env.env.GONE, worker.env.env.STAYS, worker.env.max_memory_restart]);
  before(async () => {
    world = await new World('one').init({ drain: true, instances: 1, kill_timeout_ms: 8000, listen_timeout_ms: 8000 }, { within_ms: 60000 });
    ['A', 'B', 'C', 'D', 'E', 'F', 'G'].forEach(id => {
      world.release(id);
      world.file(id, 'server.js', SLOW);
    });
    world.release('bad', 'exits');
    await world.good('A');
  });
  after(() => world.end());
  const settings = more => world.settings({ drain: true, instances: 1, kill_timeout_ms: 8000, listen_timeout_ms: 8000, ...more });

  test('loses no request either', async () => {
    settings({ env: { GONE: '1', STAYS: '1' }, max_memory: '300M' });
    const was = ids();
    const stop = load(world);
    for (const id of ['B', 'C']) await world.good(id);
    assert.strictEqual((await world.deploy('D')).code, 0);
    assert.strictEqual((await world.revert('D')).code, 0);
    const seen = await stop();
    console.log(`# ${seen.good} requests during three reloads of the only worker, the last taken back: ${seen.lost.length} lost`);
    assert.deepStrictEqual(seen.lost, []);
    assert.deepStrictEqual(ids(), was, 'plain reloads');
    assert.deepStrictEqual(env(), [['1', '1', 300 * 1024 * 1024]]);
  });

  test('gets rid of variables and a memory limit that the settings no longer have, without a lost request', async () => {
    const was = ids();
    settings({ env: { STAYS: '1' }, max_memory: '200M' });
    const stop = load(world);
    const ready = await world.drive('prepare', 'D');
    assert.deepStrictEqual(ready.note.filter(line => /keep|without/.test(line)), [], ready.all);
    const moved = await world.good('D');
    assert.deepStrictEqual(env(), [[undefined, '1', 200 * 1024 * 1024]], moved.all);
    assert.notDeepStrictEqual(ids(), was, 'it was moved');
    settings({ env: { STAYS: '1' } });
    await world.good('E');
    assert.deepStrictEqual(env(), [[undefined, '1', undefined]]);
    const now = ids();
    await world.good('F');
    assert.deepStrictEqual(ids(), now, 'a plain reload');
    const seen = await stop();
    assert.deepStrictEqual(seen.lost, []);
  });

  test('keeps its variables when such a deploy is taken back', async () => {
    settings({});
    const bad = await world.deploy('bad');
    assert.match(bad.why.join(), /of web.moving/, bad.all);
    const back = await world.revert('bad');
    assert.strictEqual(back.code, 0, back.all);
    assert.deepStrictEqual([shape(world), env()], [[['online', 'F', true]], [[undefined, '1', undefined]]]);
  });

  test('is as many as the machine has cores, as soon as the settings say so', async () => {
    settings({ instances: null, env: { STAYS: '1' } });
    // One more than there are, so that no machine has that many by chance.
    const cores = os.cpus().length;
    world.pm2('scale', 'web', String(cores + 1));
    await until(() => world.list('web').filter(worker => worker.release).length === cores + 1, 'the workers of another machine');
    const look = await world.drive('baseline', 'G');
    assert.match(look.note.join('\n'), new RegExp(`web is one of ${cores + 1} workers, now ${cores}; this deploy moves it`));
    await world.good('G');
    assert.deepStrictEqual(shape(world), Array.from({ length: cores }, () => ['online', 'G', true]));
  });
});

describe('in fork mode', () => {
  let world;
  before(async () => {
    world = await new World('fork').init({ mode: 'fork', instances: 1 }, { within_ms: 60000 });
    ['A', 'B'].forEach(id => world.release(id));
  });
  after(() => world.end());

  test('what a restart leaves is said with the commands, and what was exported by hand is told apart', async () => {
    const settings = more => world.settings({ mode: 'fork', instances: 1, ...more });
    settings({ env: { GONE: '1' }, max_memory: '300M' });
    await world.good('A');
    childProcess.spawnSync('pm2', ['restart', 'web', '--update-env'], { env: { ...world.clean, BY_HAND: '1' } });
    settings({});
    const ready = await world.drive('prepare', 'B');
    assert.strictEqual(ready.code, 0, ready.all);
    const notes = ready.note.join('\n');
    assert.match(notes, /PM2 keeps of web what the settings no longer have: max_memory, variable GONE; no reload changes that: pm2 delete web && pm2 save, then deploy again/);
    assert.match(notes, /PM2 keeps variables of web that the settings don't have: BY_HAND$/m);
  });
});

describe('an ecosystem file', () => {
  let world;
  before(async () => {
    world = await new World('eco').init({}, { within_ms: 60000 });
  });
  after(() => world.end());

  const KEYS = "autorestart: true, max_restarts: 7, min_uptime: '2s', restart_delay: 50, exp_backoff_restart_delay: 100, wait_ready: false, cron_restart: '0 3 * * *', log_date_format: 'YYYY', treekill: true, merge_logs: true";
  const eco = (id, more) => {
    world.release(id);
    world.file(id, 'server.js', SLOW);
    world.file(id, 'eco.config.cjs', `module.exports = { apps: [{ name: 'web', script: 'server.js', instances: 2, kill_timeout: 1600, ${more}, env: { PORT: ${world.port} } }, { name: 'lone', script: 'server.js', env: { PORT: ${world.port + 1} } }] }`);
  };

  test('has its cluster apps drain, given the time for it, and a changed setting that PM2 takes only at a start', async () => {
    world.settings({ ecosystem: 'eco.config.cjs', script: null, drain: true, only: ['web'] });
    eco('A', KEYS);
    eco('B', KEYS);
    eco('C', KEYS.replace('max_restarts: 7', 'max_restarts: 9'));
    eco('D', KEYS);
    await world.good('A');
    assert.deepStrictEqual(shape(world), [['online', 'A', true], ['online', 'A', true]]);
    assert.deepStrictEqual(world.list('web').map(worker => worker.env.kill_timeout), [3000, 3000]);
    const ids = world.list('web').map(worker => worker.id);
    const stop = load(world);
    await world.good('B');
    assert.deepStrictEqual(world.list('web').map(worker => worker.id), ids, 'a plain reload');
    const last = await world.good('C');
    assert.deepStrictEqual(world.list('web').map(worker => [worker.release, worker.env.max_restarts]), [['C', 9], ['C', 9]], last.all);
    assert.deepStrictEqual((await stop()).lost, []);
    world.settings({ ecosystem: 'eco.config.cjs', script: null, drain: false });
    const ready = await world.drive('prepare', 'D');
    assert.match(ready.note.join('\n'), /web: without drain a reload cuts [^]*lone: nothing answers while it restarts, in fork mode/, ready.all);
  });
});

describe('the preload alone', () => {
  test('the handlers of the app run when all is answered, and a worker that has none ends by itself', async () => {
    const preload = path.join(__dirname, '..', '..', 'templates', 'drain.cjs');
    const app = more => `const server = require('http').createServer((q, a) => { process.send('asked'); setTimeout(() => a.end('whole'), 400); }).listen(0, () => process.send(server.address().port));${more}`;
    const run = async more => {
      const child = childProcess.spawn(process.execPath, ['--require', preload, '-e', app(more)], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
      let said = '';
      child.stdout.on('data', chunk => (said += chunk));
      const port = await new Promise(resolve => child.once('message', resolve));
      const ended = new Promise(resolve => child.once('exit', (code, signal) => resolve(code === null ? signal : code)));
      const answer = fetch(`http://127.0.0.1:${port}/`).then(answer => Promise.all([answer.headers.get('connection'), answer.text()]));
      await new Promise(resolve => child.once('message', resolve));
      child.kill('SIGINT');
      return { answer: await answer, code: await ended, said };
    };
    assert.deepStrictEqual(await run(''), { answer: ['close', 'whole'], code: 0, said: '' });
    const own = "process.once('SIGINT', signal => { console.log(signal); server.close(() => process.exit(7)); });";
    assert.deepStrictEqual(await run(own), { answer: ['close', 'whole'], code: 7, said: 'SIGINT\n' });
  });
});
