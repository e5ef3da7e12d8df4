// The driver's parts that need no PM2 daemon: facts, definitions from settings and ecosystem files, the boot test.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const { test, beforeEach, afterEach, describe } = require('node:test');
const { World, driverText } = require('./world.cjs');

let world;
beforeEach(async () => {
  world = await new World('my app (1)').init();
});
afterEach(() => fs.rmSync(world.root, { recursive: true, force: true }));

const apps = () => JSON.parse(fs.readFileSync(path.join(world.dir, 'apps.json'), 'utf8'));
const current = (...rest) => path.join(world.base, 'current', ...rest);

test('the driver is small enough to travel', () => {
  const packed = zlib.gzipSync(driverText(), { level: 9 });
  assert.ok(packed.length < 32 * 1024, `${packed.length} bytes`);
  assert.doesNotMatch(driverText(), /\?\?=|\|\|=|&&=|replaceAll\(|\.at\(|structuredClone|Object\.hasOwn\(/, 'node 14 can read it');
});

test('facts come without a daemon, and a missing pm2 is refused', async () => {
  const facts = await world.drive('facts');
  assert.match(facts.fact.join('\n'), /arch \w+\ncores \d+\nnode v\d+\S*\nnode_file \/\S+\npm2 \d+\.\d+\.\d+\npm2_file \/\S+/);
  world.clean.PATH = '/nowhere';
  const none = await world.drive('facts');
  assert.strictEqual(none.code, 0, none.all);
  assert.match(none.refuse.join('\n'), /^there is no pm2 on PATH \(\/nowhere\), nor in .*\tnpm install -g pm2 with \/.*path = \["\.\.\."\] in \[ssh\] of deploy.toml$/);
  assert.ok(!fs.existsSync(path.join(world.home, 'pm2.pid')));
});

describe('prepare', () => {
  test('settings become absolute paths through current', async () => {
    world.settings({ script: 'server.js', node_args: ['-r', './pre.cjs', '--max-old-space-size=200'], args: ['one two'], instances: null, max_memory: '300M', env: { A: '1' } }, {}, 'apps/web');
    world.release('A', 'good', 'apps/web');
    const done = await world.drive('prepare', 'A');
    assert.strictEqual(done.code, 0, done.all);
    const [{ app, port }] = apps();
    assert.strictEqual(app.cwd, current('apps/web'));
    assert.strictEqual(app.exec, current('apps/web/server.js'));
    assert.deepStrictEqual(app.node_args, ['-r', current('apps/web/pre.cjs'), '--max-old-space-size=200']);
    assert.deepStrictEqual([app.args, app.instances, app.max_memory_restart, app.exec_mode], [['one two'], 'max', '300M', 'cluster']);
    assert.deepStrictEqual([app.env, port], [{ A: '1', PORT: String(world.port) }, world.port]);
    assert.strictEqual(fs.statSync(path.join(world.dir, 'apps.json')).mode & 0o777, 0o600);
    world.settings({ script: '/server.js' }, {}, 'apps/web');
    world.release('A');
    assert.strictEqual((await world.drive('prepare', 'A')).code, 0);
    assert.strictEqual(apps()[0].app.exec, current('server.js'));
  });

  test('an env file is read as dotenv does, and env wins over it', async () => {
    world.release('A');
    world.settings({ env_file: '.env', env: { WINS: 'env' } });
    fs.writeFileSync(path.join(world.base, 'shared', '.env'), [
      '# comment', 'export PLAIN=word # more', "SINGLE='a # b $(x) \\n'", 'DOUBLE="a\\nb \\"q\\" $HOME"', 'LINES="one', 'two"', 'EMPTY=', 'TICK=`a"b\'c`', ' SPACED = v w ', 'UNI=grün', 'WINS=file', 'URL=postgres://u:p@h/d?a=b',
    ].join('\r\n'));
    const done = await world.drive('prepare', 'A');
    assert.strictEqual(done.code, 0, done.all);
    assert.deepStrictEqual(apps()[0].app.env, {
      PLAIN: 'word', SINGLE: 'a # b $(x) \\n', DOUBLE: 'a\nb "q" $HOME', LINES: 'one\ntwo', EMPTY: '', TICK: 'a"b\'c', SPACED: 'v w', UNI: 'grün', WINS: 'env', URL: 'postgres://u:p@h/d?a=b', PORT: String(world.port),
    });
    assert.ok(!done.all.includes('postgres'));
  });

  const refused = {
    'a missing script': [{ script: 'none.js' }, /none\.js is not in the release/],
    'a script outside': [{ script: '../../shared/x.js' }, /outside the release/],
    'next start in cluster mode': [{ script: 'node_modules/.bin/next', args: ['start'] }, /can't run in PM2's cluster mode.*standalone/],
    'npm start in cluster mode': [{ script: 'npm', args: ['start'] }, /can't run in PM2's cluster mode/],
    'preserve-symlinks': [{ node_args: ['--preserve-symlinks'] }, /mixes two releases/],
    "a variable of PM2's own": [{ env: { PM2_HOME: '/x' } }, /PM2_HOME would change PM2's own settings/],
    'a missing env file': [{ env_file: '.env' }, /shared\/\.env does not exist/],
  };
  Object.keys(refused).forEach(name => test(`refuses ${name}`, async () => {
    world.release('A');
    world.file('A', 'node_modules/.bin/next', '');
    world.settings(refused[name][0]);
    const done = await world.drive('prepare', 'A');
    assert.strictEqual(done.code, 1, done.all);
    assert.match(done.why.join(), refused[name][1]);
  }));
});

describe('an ecosystem file', () => {
  const eco = async (text, service = {}, name = 'ecosystem.config.cjs') => {
    world.release('A');
    world.file('A', name, text);
    world.settings({ script: null, ecosystem: name, ...service });
    return world.drive('prepare', 'A');
  };

  test('every way of naming the folder ends at current', async () => {
    const styles = ["script: 'server.js'", "script: './server.js', cwd: __dirname", "script: __dirname + '/server.js'", `script: 'server.js', cwd: ${JSON.stringify(current())}`, "exec: 'server.js', cwd: '.'"];
    for (const style of styles) {
      const done = await eco(`console.log('noise'); module.exports = { apps: [{ name: 'x', ${style}, instances: 2 }] };`);
      assert.strictEqual(done.code, 0, style + done.all);
      const [{ app }] = apps();
      assert.deepStrictEqual([app.cwd, app.exec, app.exec_mode], [current(), current('server.js'), 'cluster'], style);
    }
  });

  test('json, a module package and an ES module are read as well', async () => {
    assert.strictEqual((await eco('{"apps":[{"name":"x","script":"server.js"}]}', {}, 'pm2.json')).code, 0);
    assert.strictEqual(apps()[0].app.exec_mode, 'fork');
    world.file('A', 'package.json', '{"type":"module"}');
    const esm = await eco("export default { apps: [{ name: 'y', script: 'server.js' }] }", {}, 'ecosystem.config.js');
    assert.strictEqual(esm.code, 0, esm.all);
    assert.strictEqual(apps()[0].name, 'y');
  });

  test('only, ecosystem_env, ports and logs', async () => {
    const done = await eco(
      "module.exports = { apps: [{ name: 'web', script: 'server.js', env: { PORT: 4001, A: 1, O: { a: 1 } }, env_production: { A: 'prod' }, out_file: __dirname + '/o.log', nodeArgs: '-r ./pre.cjs' }, { name: 'cron', script: 'server.js', exec_mode: 'fork' }, { name: 'not', script: 'gone.js' }] }",
      { only: ['web', 'cron'], ecosystem_env: 'production', port: null, env: { B: '2' } },
    );
    assert.strictEqual(done.code, 0, done.all);
    const [web, cron] = apps();
    assert.deepStrictEqual(web.app.env, { PORT: '4001', A: 'prod', O: '{"a":1}', B: '2' });
    assert.deepStrictEqual([web.port, web.asks, web.app.out_file, web.app.node_args], [4001, '/api/health', current('o.log'), ['-r', current('pre.cjs')]]);
    assert.deepStrictEqual([cron.port, cron.asks, apps().length], [null, null, 2]);
    assert.ok(!('env_production' in web.app));
  });

  const refused = {
    watch: ["[{ name: 'x', script: 'server.js', watch: true }]", /watch: true.*Remove it/],
    'a folder elsewhere': ["[{ name: 'x', script: 'server.js', cwd: '/tmp' }]", /outside the release/],
    'one name twice': ["[{ name: 'x', script: 'server.js' }, { name: 'x', script: 'server.js' }]", /two apps are called/],
    'an unknown app': ["[{ name: 'x', script: 'server.js' }]", /no app is called "y"/, { only: ['y'] }],
    'an unknown environment': ["[{ name: 'x', script: 'server.js' }]", /no app has env_stage/, { ecosystem_env: 'stage' }],
    'next start': ["[{ name: 'x', script: 'node_modules/next/dist/bin/next', args: 'start', instances: 2 }]", /cluster mode/],
    'a file that throws': ["(() => { throw new Error('no such day') })()", /can't be read: no such day/],
    'a file that never ends its process': ['process.exit(0)', /exports nothing/],
  };
  Object.keys(refused).forEach(name => test(`refuses ${name}`, async () => {
    world.file('A', 'node_modules/next/dist/bin/next', '');
    const done = await eco(`module.exports = { apps: ${refused[name][0]} };`, refused[name][2]);
    assert.strictEqual(done.code, 1, done.all);
    assert.match(done.why.join(), refused[name][1]);
  }));
});

describe('the boot test', () => {
  const boot = async (kind, service, health) => {
    world.release('A', kind);
    world.settings(service, { within_ms: 1500, ...health });
    const ready = await world.drive('prepare', 'A');
    assert.strictEqual(ready.code, 0, ready.all);
    const done = await world.drive('boot', 'A');
    const left = fs.readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && world.releaseOf(pid) === 'A' && fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(world.base));
    assert.deepStrictEqual(left, [], 'the candidate is gone');
    assert.deepStrictEqual(fs.readdirSync(path.join(world.dir, 'groups')), []);
    return done;
  };

  test('passes a good release, also one that ignores SIGTERM', async () => {
    const done = await boot('good');
    assert.strictEqual(done.code, 0, done.all);
    assert.match(done.note.join(), /well after .* \/app\.css is there/);
    assert.strictEqual((await boot('stubborn')).code, 0);
  });

  test('tells one that will be late for PM2', async () => {
    const late = await boot('good', { listen_timeout_ms: 10, instances: 1 });
    assert.match(late.note.join('\n'), /web takes longer to start than listen_timeout \(0\.01 s\), after which PM2 ends the old worker: nothing answers meanwhile; raise it/);
    const early = await boot('good', { listen_timeout_ms: 60000 });
    assert.doesNotMatch(early.note.join('\n'), /listen_timeout/);
  });

  const bad = {
    exits: [/exit code 1/, /bye at once/], throws: [/exit code 1/, /thrown at load/], syntax: [/exit code 1/, /SyntaxError/], unreachable: [/exit code 1|nothing listens/, null],
    silent: [/not well within.*nothing listens on port/, null], rejects: [/exit code 1/, /rejected before listening/], sick: [/status 500 instead of 200/, null], unstyled: [/names \/app\.css, which answers 404/, null],
  };
  Object.keys(bad).forEach(kind => test(`finds out what is ${kind}`, async () => {
    // HOST is the loopback in a boot test; this fixture does not listen to it.
    const done = await boot(kind);
    assert.strictEqual(done.code, 1, done.all);
    assert.match(done.why.join(), bad[kind][0]);
    if (bad[kind][1]) assert.match(done.log.join('\n'), bad[kind][1]);
  }));

  test('goes on for the soak where something is live', async () => {
    world.release('O');
    world.swap('O');
    const done = await boot('brief');
    assert.match(done.why.join(), /exit code 3 \d\.\d s after its first good answer/, done.all);
    assert.match(done.log.join('\n'), /going down/);
    const sickens = await boot('sickens');
    assert.match(sickens.why.join(), /status is "sick" instead of "ok", \d\.\d s after its first good answer/, sickens.all);
    const good = await boot('good');
    assert.strictEqual(good.code, 0, good.all);
    assert.match(good.note.join(), /answers; soaking 1s/);
    world.swap('');
    assert.doesNotMatch((await boot('good')).note.join(), /soaking/);
  });

  test('names the port that a candidate took instead of its own', async () => {
    world.release('A');
    world.file('A', 'server.js', `require('http').createServer().listen(${world.port}, '127.0.0.1')`);
    world.settings({}, { within_ms: 1200 });
    await world.drive('prepare', 'A');
    const done = await world.drive('boot', 'A');
    assert.match(done.why.join(), new RegExp(`listens on port ${world.port}: it must take the port from PORT`));
  });

  test('expects what health says', async () => {
    const done = await boot('good', {}, { expect: { status: 200, body: null, json: { release: 'B' } } });
    assert.match(done.why.join(), /release is "A" instead of "B"/);
    const body = await boot('good', {}, { expect: { status: 200, body: 'nowhere', json: {} } });
    assert.match(body.why.join(), /the body lacks "nowhere"/);
  });

  test('is skipped without a port or where it is switched off', async () => {
    assert.match((await boot('exits', { boot_test: false })).note.join(), /skipped: boot_test is off/);
    assert.match((await boot('exits', { port: null })).note.join(), /skipped: no port/);
  });

  test('ends with the driver', async () => {
    world.release('A', 'silent');
    world.settings({}, { within_ms: 20000 });
    await world.drive('prepare', 'A');
    const running = world.drive('boot', 'A');
    const groups = path.join(world.dir, 'groups');
    const { until } = require('./world.cjs');
    await until(() => fs.readdirSync(groups).length, 'the candidate');
    const pid = fs.readdirSync(groups)[0].split('.')[0];
    world.child.kill('SIGTERM');
    assert.strictEqual((await running).code, 1);
    await until(() => !fs.existsSync(`/proc/${pid}/cwd`), "the candidate's end");
  });
});
