// PM2 itself: where it is, whether its daemon lives, what it runs, and how one worker is renewed and proved.
// Never asks PM2 something when no daemon runs (that would start one), never believes an exit code.
'use strict';

let tool;
function findPm2() {
  if (tool !== undefined) return tool;
  const file = onPath('pm2');
  tool = file ? { file, version: null } : null;
  for (let folder = file && path.dirname(realpath(file)); folder && folder !== '/'; folder = path.dirname(folder)) {
    try {
      const about = readJson(path.join(folder, 'package.json'));
      if (about.name === 'pm2') {
        Object.assign(tool, { version: about.version, program: path.join(folder, 'bin', 'pm2') });
        break;
      }
    } catch (error) {}
  }
  return tool;
}

// Hands the app's environment to the CLI only after its node has started: NODE_OPTIONS or PATH of the app are
// meant for the app, and no secret shows in an environment or on a command line on the way.
const LOADER = "const fs=require('fs');Object.assign(process.env,JSON.parse(fs.readFileSync(3,'utf8')));fs.closeSync(3);require(process.argv[1])";

async function pm2(args, { env = {}, ms = 20000, cap } = {}) {
  const found = findPm2();
  if (!found) throw new Failure(`no pm2 on PATH (${CLEAN.PATH})`);
  const base = Object.assign({}, CLEAN, { PM2_HOME: HOME });
  const direct = found.program && fs.existsSync(found.program);
  const result = direct
    ? await run(process.execPath, ['-e', LOADER, found.program].concat(args), { env: base, ms, cap, third: JSON.stringify(env) })
    : await run(found.file, args, { env: Object.assign({}, env, base), ms, cap });
  if (args[0] === 'jlist') return result;
  const said = result.err.split('\n').concat(result.out.split('\n').filter(line => /\[ERROR\]|error/i.test(line)));
  result.errors = said.map(plain).filter(line => line.trim()).slice(-5);
  result.errors.forEach(trace);
  trace(`pm2 ${args.slice(0, 2).join(' ')}: ${result.late ? `not finished within ${ms} ms` : `exit ${result.code}`}`);
  return result;
}

// The error's code, empty where somebody took the call.
function callDaemon() {
  return new Promise(resolve => {
    const socket = net.connect(path.join(HOME, 'rpc.sock'));
    const timer = setTimeout(() => end(''), 3000);
    const end = code => {
      clearTimeout(timer);
      socket.destroy();
      resolve(code);
    };
    socket.once('connect', () => end(''));
    socket.once('error', error => end(error.code || 'unknown'));
  });
}

// The process that PM2 noted as its daemon, where it lives.
function daemonPid() {
  try {
    const pid = parseInt(fs.readFileSync(path.join(HOME, 'pm2.pid'), 'utf8'), 10);
    return pid && /God Daemon/.test(commandOf(pid)) ? pid : 0;
  } catch (error) {
    return 0;
  }
}

// Whether a daemon answers, found without starting one. One that lives and can't be called for a moment is not absent:
// a live service would be taken for none.
async function daemonAlive() {
  let code = '';
  for (let turn = 0; turn < 10; turn++) {
    code = await callDaemon();
    if (!code) return true;
    if (code === 'EACCES') throw new Failure(`PM2's daemon in ${HOME} belongs to another user (${path.join(HOME, 'rpc.sock')} may not be opened)`);
    if (!daemonPid()) return false;
    await sleep(300);
  }
  throw new Failure(`PM2's daemon (pid ${daemonPid()}) runs, but can't be called at ${path.join(HOME, 'rpc.sock')}: ${code}`);
}

async function jlist() {
  let problem = '';
  for (let turn = 0; turn < 3; turn++) {
    if (!(await daemonAlive())) return [];
    const result = await pm2(['jlist', '-s'], { ms: 20000, cap: 64 << 20 });
    const lines = result.out.split('\n').reverse();
    for (const line of lines) {
      if (!line.startsWith('[')) continue;
      try {
        return JSON.parse(line);
      } catch (error) {}
    }
    problem = result.late ? 'it did not answer within 20 s' : result.cut ? 'its answer is too long' : `exit ${result.code}`;
    await sleep(300);
  }
  throw new Failure(`pm2 jlist gave no list: ${problem}`);
}

// The workers of one app, or of all, in PM2's order. While one is reloaded, its predecessor has an id that is no number.
function workersOf(list, name) {
  return list
    .filter(p => p && p.pm2_env && (name === undefined || p.name === name) && typeof p.pm_id === 'number')
    .map(p => ({
      name: p.name,
      id: p.pm_id,
      pid: p.pid || 0,
      status: p.pm2_env.status,
      restarts: p.pm2_env.restart_time,
      since: p.pm2_env.pm_uptime,
      fork: p.pm2_env.exec_mode !== 'cluster_mode',
      logs: [p.pm2_env.pm_out_log_path, p.pm2_env.pm_err_log_path],
      raw: p.pm2_env,
    }))
    .sort((a, b) => a.id - b.id);
}

const idsOf = worker => ({ pid: worker.pid, ids: worker.fork ? family(worker.pid) : [worker.pid] });

// PM2 has one lock for all apps of a PM2_HOME; it expires after 30 s.
function lockAge() {
  try {
    const since = parseInt(fs.readFileSync(path.join(HOME, 'reload.lock'), 'utf8'), 10);
    return since ? Date.now() - since : Infinity;
  } catch (error) {
    return Infinity;
  }
}

// Runs one pm2 action on one worker, waiting out another reload's lock. Answers what PM2 complained about.
async function act(args, { env, ms, check }) {
  const until = clock() + 45000;
  let told = false;
  for (;;) {
    const locked = args[0] === 'reload' && lockAge() < 30000;
    if (locked && clock() < until) {
      if (!told) note("waiting for another pm2 reload to end (PM2's own lock, 30 s at most)");
      told = true;
      if (check) check();
      await sleep(200);
      continue;
    }
    const result = await pm2(args, { env, ms });
    const busy = /Reload already in progress|Reload in progress/.test(result.out + result.err);
    if (!busy || clock() > until) return result;
    if (check) check();
    await sleep(500);
  }
}

// PM2 takes a number for the name of an app, or of a namespace, before it takes it for a worker's.
function unmistakable(list, id) {
  if (list.some(p => p.name === id || (p.pm2_env && p.pm2_env.namespace === id))) {
    throw new Failure(`PM2 has an app or a namespace called "${id}", which is also a worker's number: PM2 can't tell them apart. Rename it`);
  }
  return id;
}

// Gives one worker the code that `current` names and the environment of `app`. Answers what `prove` is to expect.
// `steady` says that the worker has not been restarting by itself.
async function renew(worker, app, steady, check) {
  const list = await jlist();
  const id = unmistakable(list, String(worker.id));
  const slow = (app.kill_timeout || 1600) * 2 + (app.listen_timeout || 3000) + 30000;
  const flags = ['--update-env'];
  if (app.kill_timeout) flags.push('--kill-timeout', String(app.kill_timeout));
  if (app.listen_timeout) flags.push('--listen-timeout', String(app.listen_timeout));
  if (app.max_memory_restart) flags.push('--max-memory-restart', String(app.max_memory_restart));
  let now = workersOf(list, worker.name).find(w => w.id === worker.id);
  if (!now) throw new Failure(`worker ${id} is gone from PM2`);
  const smooth = steady && now.status === 'online' && now.pid === worker.pid;
  if (!smooth && now.status !== 'stopped' && now.status !== 'errored') {
    // Its count would move under our hands.
    await act(['stop', id], { ms: slow, check });
    now = workersOf(await jlist(), worker.name).find(w => w.id === worker.id) || now;
  }
  const result = await act([smooth ? 'reload' : 'restart', id].concat(flags), { env: app.env, ms: slow, check });
  return { restarts: now.restarts + (smooth ? 1 : 0), oldPid: now.pid, said: result };
}

// Waits until worker `id` of `name` is online, runs `release` and answers, within `ms`. Throws a Failure as soon
// as that has become impossible. Answers the worker.
async function prove(name, id, { release, restarts, oldPid, said, port, health }) {
  const until = clock() + health.within_ms;
  let last = 'it did not come online';
  for (let turn = 0; clock() < until || turn < 2; turn++) {
    const all = workersOf(await jlist());
    const worker = all.find(w => w.id === id && w.name === name);
    if (!worker) throw new Failure('it is gone from PM2');
    if (restarts !== null && worker.restarts > restarts) throw new Failure(`it ended by itself and was restarted by PM2 (${count(worker.restarts - restarts, 'time')})`);
    if (worker.status === 'errored' || worker.status === 'stopped') throw new Failure(`PM2 calls it ${worker.status}: it ended by itself`);
    const stale = worker.pid === oldPid && oldPid > 0;
    if (stale && said) throw new Failure(`PM2 did not replace it: ${said.errors[0] || (said.late ? 'pm2 did not finish in time' : `pm2 ended with ${said.code}`)}`);
    if (worker.status !== 'online' || !worker.pid) {
      await sleep(300);
      continue;
    }
    const start = startOf(worker.pid);
    const seen = await observe(worker, all, { release, port, health, until, start });
    last = seen.fault || last;
    const after = workersOf(await jlist(), name).find(w => w.id === id);
    const same = after && after.pid === worker.pid && after.restarts === worker.restarts && after.status === 'online';
    if (same && seen.fault) throw new Failure(seen.fault);
    if (same && restarts !== null && after.restarts !== restarts) throw new Failure(`PM2 counts ${after.restarts} restarts instead of ${restarts}`);
    if (same) return Object.assign(after, { name, start, doubt: seen.doubt });
  }
  throw new Failure(last);
}

// Watches one process until it answers from the right release, ends, or time is up: {fault, doubt}.
async function observe(worker, all, { release, port, health, until, start }) {
  let fault = port ? `no connection to port ${port} was answered by it` : 'it did not come to work in the release';
  let unseen = 0;
  let settled = 0;
  // In cluster mode another app of the daemon may share the port: its answers are told apart sooner when it is known.
  const crew = all.filter(w => w.pid && w.status === 'online' && (w.name === worker.name || !(w.fork || worker.fork)));
  do {
    if (start && startOf(worker.pid) !== start) return { fault: 'it ended by itself' };
    const place = placeOf(worker.pid);
    const arrived = place.release === release && !place.gone;
    let answered = false;
    if (port) {
      const seen = await ask(port, health, crew.map(idsOf), worker.pid);
      if (seen.owner === null && !seen.fault) unseen++;
      answered = !seen.fault && (seen.owner === worker.pid || unseen > crew.length * 2);
      if (seen.fault === ELSEWHERE) {
        await sleep(20);
        continue;
      }
      fault = seen.fault || fault;
    } else {
      // Nothing to ask: a moment in the right place, the soak does the rest.
      answered = (arrived || clock() > until - health.within_ms / 2) && ++settled > 2;
    }
    if (answered) {
      const doubts = [];
      if (place.hidden) doubts.push(place.hidden);
      else if (place.elsewhere) doubts.push(`it works in ${place.elsewhere}`);
      else if (!arrived) return { fault: `it runs ${place.release}${place.gone ? ' (deleted)' : ''} instead of ${release}` };
      if (unseen) doubts.push('which worker answered may not be seen');
      return { fault: null, doubt: doubts.join('; ') };
    }
    await sleep(Math.min(health.interval_ms, 500));
  } while (clock() < until);
  return { fault };
}
