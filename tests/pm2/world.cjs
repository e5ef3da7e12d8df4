// A host in miniature for the driver's tests: a folder with releases and `current`, a PM2 of its own, and fixture
// servers written at run time. Proves nothing by itself.
'use strict';
const childProcess = require('child_process');
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');

const PARTS = ['protocol', 'proc', 'http', 'define', 'workers', 'tools', 'baseline', 'boot', 'moved', 'activate', 'revert', 'colours', 'survey', 'verbs'];
const SOURCE = path.join(__dirname, '..', '..', 'src', 'service', 'pm2');

// As it is sent: without comment lines.
function driverText() {
  const bare = file => fs.readFileSync(file, 'utf8').split('\n').filter(line => !/^\s*\/\//.test(line) && line.trim()).join('\n') + '\n';
  const drain = JSON.stringify(bare(path.join(__dirname, '..', '..', 'templates', 'drain.cjs')));
  return PARTS.map(name => bare(path.join(SOURCE, `${name}.cjs`))).join('').replace(';\n', () => `;\nconst DRAIN_TEXT = ${drain};\n`);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const GOOD = `
const http = require('http');
const RELEASE = require('./release.cjs');
const server = http.createServer((q, a) => {
  if (q.url === '/api/health') return a.end(JSON.stringify({ status: 'ok', release: RELEASE, pid: process.pid, env: { odd: process.env.ODD, word: process.env.WORD } }));
  if (q.url === '/') { a.setHeader('content-type', 'text/html'); return a.end('<link rel="stylesheet" href="/app.css">'); }
  if (q.url === '/app.css') return a.end('body{}');
  a.statusCode = 404;
  a.end('no');
});
const listen = () => server.listen(process.env.PORT, process.env.HOST);
`;

// The releases of the bad kind: each breaks in its own way.
const SERVERS = {
  good: GOOD + 'listen();',
  exits: 'console.error("bye at once"); process.exit(1);',
  throws: 'throw new Error("thrown at load");',
  syntax: 'const = ;',
  unreachable: GOOD + 'server.listen(process.env.PORT, "203.0.113.7");',
  silent: 'setInterval(() => {}, 1000);',
  brief: GOOD + 'listen(); server.on("listening", () => { console.error("going down"); setTimeout(() => process.exit(3), 600); });',
  cyclic: GOOD + 'listen(); setTimeout(() => process.exit(3), 2500);',
  second: GOOD + 'if (process.env.NODE_APP_INSTANCE === "1") process.exit(1); listen();',
  rejects: GOOD + '(async () => { await null; throw new Error("rejected before listening"); })().then(listen);',
  sick: GOOD.replace("'ok'", "'sick'").replace('return a.end(JSON', 'a.statusCode = 500; return a.end(JSON') + 'listen();',
  sickens: GOOD.replace("'ok'", "Date.now() - born > 700 ? 'sick' : 'ok'") + 'let born = Infinity; server.on("listening", () => { born = Date.now(); }); listen();',
  unstyled: GOOD.replace("return a.end('body{}');", "{ a.statusCode = 404; return a.end('no'); }") + 'listen();',
  stubborn: 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000);' + GOOD + 'listen();',
};

// Waits for `done()`; a test that waits for what never comes fails instead of hanging.
async function until(done, what, ms = 15000) {
  for (const end = Date.now() + ms; !done(); ) {
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

class World {
  constructor(label) {
    this.root = fs.mkdtempSync(path.join(os.tmpdir(), 'sp-'));
    this.base = path.join(this.root, label || 'app');
    this.home = path.join(this.root, 'h');
    this.dir = path.join(this.base, '.shipit', 't.1');
    fs.mkdirSync(path.join(this.base, 'releases'), { recursive: true });
    fs.mkdirSync(path.join(this.base, 'shared'));
    fs.mkdirSync(path.join(this.dir, 'groups'), { recursive: true });
    fs.mkdirSync(this.home);
    fs.writeFileSync(path.join(this.dir, 'service.cjs'), driverText());
    this.clean = { PATH: process.env.PATH, HOME: this.root, USER: 'tester', LOGNAME: 'tester', PM2_HOME: this.home };
    this.old = '';
    this.health = {};
  }

  // `health` holds for all later settings as well.
  async init(service = {}, health = {}) {
    this.port = await freePort();
    this.health = health;
    this.settings(service);
    return this;
  }

  settings(service = {}, health = {}, appDir = '', earlier = false) {
    this.all = {
      earlier,
      service: {
        name: 'web', script: 'server.js', ecosystem: null, only: [], ecosystem_env: null, port: this.port, instances: 2,
        mode: 'cluster', env: {}, env_file: null, boot_test: true, node_args: [], args: [], max_memory: null,
        kill_timeout_ms: 1000, listen_timeout_ms: 1500, drain: false, ...service,
      },
      app_dir: appDir,
      health: {
        path: '/api/health', headers: {}, expect: { status: 200, body: null, json: { status: 'ok' } }, timeout_ms: 1000,
        interval_ms: 100, within_ms: 4000, successes: 1, soak_ms: 1000, assets: true, ...this.health, ...health,
      },
    };
    fs.writeFileSync(path.join(this.dir, 'service.json'), JSON.stringify(this.all));
  }

  file(id, name, text) {
    const file = path.join(this.base, 'releases', id, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }

  release(id, kind = 'good', folder = '') {
    fs.mkdirSync(path.join(this.base, 'releases', id), { recursive: true });
    this.file(id, '.release.json', JSON.stringify({ id }));
    if (kind === 'empty') return;
    this.file(id, path.join(folder, 'server.js'), SERVERS[kind]);
    this.file(id, path.join(folder, 'release.cjs'), `module.exports = ${JSON.stringify(id)};`);
  }

  swap(id) {
    const next = path.join(this.dir, 'next');
    fs.rmSync(next, { force: true });
    if (!id) return fs.rmSync(path.join(this.base, 'current'), { force: true });
    fs.symlinkSync(`releases/${id}`, next);
    return fs.renameSync(next, path.join(this.base, 'current'));
  }

  // Runs one verb as the host script does. `lines` has the protocol lines by kind.
  drive(verb, fresh, arg) {
    const env = { ...this.clean, SHIPIT_BASE: this.base, SHIPIT_DIR: this.dir, SHIPIT_NEW: fresh || '', SHIPIT_OLD: this.old, SHIPIT_MARK: '@' };
    const args = [path.join(this.dir, 'service.cjs'), verb].concat(arg === undefined ? [] : [arg]);
    return new Promise(resolve => {
      const child = childProcess.spawn(process.execPath, args, { cwd: this.base, env, stdio: ['ignore', 'pipe', 'pipe'] });
      this.child = child;
      let [out, err] = ['', ''];
      child.stdout.on('data', chunk => (out += chunk));
      child.stderr.on('data', chunk => (err += chunk));
      child.on('close', (code, signal) => {
        const lines = { note: [], why: [], fact: [], refuse: [], worker: [], log: [], odd: [] };
        out.split('\n').filter(Boolean).forEach(line => {
          const found = /^@(\w+) ?(.*)$/.exec(line);
          ((found && lines[found[1]]) || lines.odd).push(found ? found[2] : line);
        });
        resolve({ code, signal, out, err, ...lines, all: `${verb}: exit ${code}\n${out}${err}` });
      });
    });
  }

  pm2(...args) {
    const run = childProcess.spawnSync('pm2', args, { cwd: this.base, env: this.clean, encoding: 'utf8', timeout: 30000 });
    return run.stdout + run.stderr;
  }

  list(name) {
    const line = this.pm2('jlist', '-s').split('\n').reverse().find(text => text.startsWith('[{') || text === '[]');
    return JSON.parse(line || '[]').filter(p => name === undefined || p.name === name).map(p => ({ id: p.pm_id, pid: p.pid, name: p.name, status: p.pm2_env.status, restarts: p.pm2_env.restart_time, release: this.releaseOf(p.pid), env: p.pm2_env }));
  }

  releaseOf(pid) {
    try {
      return path.basename(fs.readlinkSync(`/proc/${pid}/cwd`));
    } catch (error) {
      return '';
    }
  }

  // A whole deploy up to the soak, without a boot test; answers the first step that failed.
  async deploy(id, { soak = 300, boot = false } = {}) {
    const steps = [['baseline'], ['prepare'], ...(boot ? [['boot']] : [])];
    for (const [verb] of steps) {
      const step = await this.drive(verb, id);
      if (step.code) return step;
    }
    this.swap(id);
    const active = await this.drive('activate', id);
    return active.code ? active : this.drive('watch', id, String(soak));
  }

  // A deploy that must succeed; what it brought is the old release from then on.
  async good(id, options) {
    const last = await this.deploy(id, options);
    if (last.code) throw new Error(last.all);
    this.old = id;
    return last;
  }

  async revert(fresh) {
    this.swap(this.old);
    return this.drive('revert', fresh);
  }

  get(where = '/api/health') {
    return new Promise(resolve => {
      require('http').get({ port: this.port, host: '127.0.0.1', path: where, agent: false }, answer => {
        let body = '';
        answer.on('data', chunk => (body += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode, body }));
      }).on('error', error => resolve({ status: 0, body: error.message }));
    });
  }

  // Runs a program that asks the app all the while, until it is told to stop: what it prints then, as JSON.
  load(program) {
    const child = childProcess.spawn(process.execPath, ['-e', program, String(this.port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', chunk => (text += chunk));
    return () => new Promise(resolve => {
      child.on('close', () => resolve(JSON.parse(text)));
      child.stdin.end();
    });
  }

  end() {
    this.pm2('kill');
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}

module.exports = { World, until, SERVERS, PARTS, driverText, freePort };
