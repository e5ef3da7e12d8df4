// The boot test: the candidate alone, on a spare loopback port, before anything live is touched. PM2 takes no part.
'use strict';

function sparePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function commandLine(def) {
  const { app } = def;
  const words = app.args.map(inCandidate);
  const options = app.node_args.map(inCandidate);
  const script = def.command ? app.exec : inCandidate(app.exec);
  if (def.command) return [script].concat(words);
  const other = { '.sh': 'bash', '.py': 'python3' }[path.extname(script)];
  if (app.interpreter === 'none') return [script].concat(words);
  const node = !app.interpreter || /(^|\/)node(@.*)?$/.test(app.interpreter);
  const interpreter = node ? other || process.execPath : app.interpreter;
  return [interpreter].concat(options, script, words);
}

// Starts the candidate in a process group of its own; keeps the end of what it prints.
function launch(def, port) {
  const [program, ...args] = commandLine(def);
  const env = Object.assign({}, CLEAN);
  Object.keys(def.app.env).forEach(key => {
    env[key] = inside(def.app.env[key], CURRENT) ? inCandidate(def.app.env[key]) : def.app.env[key];
  });
  Object.assign(env, { PORT: String(port), HOST: '127.0.0.1', HOSTNAME: '127.0.0.1', SHIPIT_BOOT_TEST: '1', NODE_APP_INSTANCE: '0' });
  const child = childProcess.spawn(program, args, { cwd: inCandidate(def.app.cwd), env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const candidate = { child, pid: child.pid, ended: null, output: '' };
  const keep = chunk => {
    candidate.output = (candidate.output + chunk.toString('utf8')).slice(-32768);
  };
  [child.stdout, child.stderr].forEach(stream => {
    if (!stream) return;
    stream.on('error', () => {});
    stream.on('data', keep);
  });
  child.on('error', error => {
    candidate.ended = `it could not be started: ${error.message}`;
  });
  child.on('exit', (code, signal) => {
    candidate.ended = signal ? `it was ended by ${signal}` : `it ended with exit code ${code}`;
  });
  return candidate;
}

// The session ends the groups it finds listed by number and start time, so a candidate does not outlive a driver that was killed.
function listGroup(candidate, listed) {
  if (listed) candidate.listed = path.join(DIR, 'groups', `${candidate.pid}.${startOf(candidate.pid) || 0}`);
  try {
    if (!listed) fs.unlinkSync(candidate.listed);
    else if (fs.existsSync(path.dirname(candidate.listed))) fs.writeFileSync(candidate.listed, '');
  } catch (error) {}
}

const groupLives = pid => {
  try {
    process.kill(-pid, 0);
    return true;
  } catch (error) {
    return false;
  }
};

async function endCandidate(candidate) {
  const until = clock() + 5000;
  killGroup(candidate.pid, 'SIGTERM');
  while (!candidate.ended && clock() < until) await sleep(50);
  killGroup(candidate.pid, 'SIGKILL');
  for (let i = 0; i < 40 && (!candidate.ended || groupLives(candidate.pid)); i++) await sleep(50);
  listGroup(candidate, false);
}

// Where the candidate listens, when not on the port it was given.
function strayPort(candidate, given) {
  const ids = family(candidate.pid);
  const own = sockets().filter(s => s.state === '0A' && ids.some(id => holds(id, s.inode)));
  const socket = own.some(s => s.local.port === given) ? null : own[0];
  return socket ? `; it listens on port ${socket.local.port}: it must take the port from PORT` : '';
}

// Whether the candidate is the new release: by where it works and the marker it finds there; where that can't be read,
// by the marker in an answer of its own (it is alone on its port). Answers why that is not provable, if it isn't.
async function doubtOf(candidate, port, look) {
  const place = placeOf(candidate.pid);
  if (place.release) {
    if (place.release !== NEW || place.gone) throw new Failure(`it runs ${place.release} instead of ${NEW}`);
    const named = markerOf(candidate.pid, place);
    if (named !== NEW) throw new Failure(`.release.json, where it works, names ${named ? `${named} instead of ${NEW}` : 'no release'}`);
    return '';
  }
  let told;
  try {
    told = JSON.parse((await get(port, look, '/.release.json')).body).id;
  } catch (error) {}
  if (typeof told === 'string' && told !== NEW) throw new Failure(`its /.release.json names ${short(told)} instead of ${NEW}`);
  return told === NEW ? '' : place.hidden || `it works in ${place.elsewhere}`;
}

const lookAt = ({ candidate, port, look }) => ask(port, look, [{ pid: candidate.pid, ids: family(candidate.pid) }], candidate.pid);

async function untilWell(trial, health) {
  const { candidate, port, look } = trial;
  const until = clock() + health.within_ms;
  let last = 'nothing was heard of it';
  while (clock() < until) {
    if (candidate.ended) throw new Failure(candidate.ended);
    const seen = await lookAt(trial);
    if (!seen.fault) {
      const asset = health.assets && look.path ? await checkAsset(port, look, seen.answer) : null;
      return { asset, doubt: await doubtOf(candidate, port, look) };
    }
    last = seen.fault;
    await sleep(Math.min(health.interval_ms, 250));
  }
  throw new Failure(`not well within ${health.within_ms / 1000} s: ${last}${strayPort(candidate, port)}`);
}

// A good answer has to last: in a cluster whatever ends within seconds would end with requests. Where nothing is live
// there are none. As in the soak after the switch a wrong answer is final, and one silence is none.
async function soak(trials, health) {
  const begun = clock();
  const until = begun + (fs.existsSync(CURRENT) ? Math.max(health.soak_ms, 300) : 300);
  if (until - begun > 300) note(`answers; soaking ${health.soak_ms / 1000}s`);
  for (let next = begun + health.interval_ms; clock() < until; await sleep(50)) {
    stopIfAsked();
    const due = clock() >= next;
    if (due) next = clock() + health.interval_ms;
    for (const trial of trials) {
      const seen = due ? await lookAt(trial) : {};
      const since = `${((clock() - begun) / 1000).toFixed(1)} s after its first good answer`;
      if (trial.candidate.ended) await blame(trial, `${trial.candidate.ended} ${since}`);
      if (seen.fault && (seen.answer || trial.silent)) await blame(trial, `${seen.fault}, ${since}`);
      if (due) trial.silent = Boolean(seen.fault);
    }
  }
}

// PM2 ends the old worker then, whatever has become of the new one.
function tellLate({ name, app }, took) {
  if (app.exec_mode !== 'cluster' || !(took > app.listen_timeout)) return;
  const rest = wantedInstances(app) > 1 ? 'one worker less answers meanwhile' : 'nothing answers meanwhile';
  note(`${name} takes longer to start than listen_timeout (${app.listen_timeout / 1000} s), after which PM2 ends the old worker: ${rest}; raise it`);
}

async function blame({ candidate, def }, message) {
  // What it printed last may still be on its way.
  await sleep(50);
  const error = new Failure(`boot test of ${def.name}: ${message}`);
  error.lines = candidate.output.split('\n').filter(line => line.trim()).slice(-20);
  if (/EADDRINUSE/.test(candidate.output)) error.message += ' (its port is in use: it must take the port from PORT, or set boot_test = false)';
  throw error;
}

async function bringUp(trial, health) {
  const { def, port } = trial;
  const begun = clock();
  try {
    const { asset, doubt } = await untilWell(trial, health);
    note(`boot test of ${def.name}: well after ${((clock() - begun) / 1000).toFixed(1)} s on port ${port}${asset ? `, ${asset} is there` : ''}`);
    if (doubt) note(`not provable here: ${doubt}`);
    tellLate(def, clock() - begun);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    await blame(trial, error.message);
  }
}

// All apps run beside each other, as they would live: one soak is enough for all.
async function bootAll(defs, health) {
  const trials = [];
  const abandon = () => {
    trials.forEach(({ candidate }) => killGroup(candidate.pid, 'SIGKILL'));
    process.exit(1);
  };
  ['SIGTERM', 'SIGINT', 'SIGHUP'].forEach(signal => process.once(signal, abandon));
  try {
    for (const def of defs) {
      stopIfAsked();
      const port = await sparePort();
      const candidate = launch(def, port);
      trials.push({ def, port, candidate, look: Object.assign({}, health, { path: def.asks }), silent: false });
      if (candidate.pid) listGroup(candidate, true);
      await bringUp(trials[trials.length - 1], health);
    }
    await soak(trials, health);
  } finally {
    await Promise.all(trials.filter(({ candidate }) => candidate.pid).map(({ candidate }) => endCandidate(candidate)));
    ['SIGTERM', 'SIGINT', 'SIGHUP'].forEach(signal => process.removeListener(signal, abandon));
  }
}

async function boot() {
  const { service, health } = settings();
  if (!service.boot_test) return note('skipped: boot_test is off');
  const apps = readJson(path.join(DIR, 'apps.json'));
  const able = apps.filter(def => def.port);
  if (!able.length) return note('skipped: no port is configured');
  await bootAll(able, health);
}

// The look that the client takes after the switch, for hosts that forward no ports to it: from here.
async function health() {
  const { health: look } = settings();
  for (const def of readJson(path.join(DIR, 'apps.json')).filter(def => def.port && def.asks)) {
    const until = clock() + look.within_ms;
    const own = Object.assign({}, look, { path: def.asks });
    let row = 0;
    for (;;) {
      const seen = await ask(def.port, own);
      row = seen.fault ? 0 : row + 1;
      if (row >= look.successes) {
        if (look.assets) await checkAsset(def.port, own, seen.answer);
        break;
      }
      if (clock() + look.interval_ms > until) throw new Failure(`${def.name}: ${seen.fault || 'too few good answers in a row'}`);
      await sleep(look.interval_ms);
    }
  }
}
