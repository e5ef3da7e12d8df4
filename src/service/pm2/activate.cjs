// `current` names the new release: bring PM2's workers to it, one after another, each proved before the next; then
// watch them for a while. Undoes nothing: that is revert's.
'use strict';

// Sizes of all log files, so that only what is written from now on counts as news.
function logSizes(workers) {
  const sizes = {};
  const look = file => {
    try {
      sizes[file] = fs.statSync(file).size;
    } catch (error) {}
  };
  try {
    fs.readdirSync(path.join(HOME, 'logs')).forEach(name => look(path.join(HOME, 'logs', name)));
  } catch (error) {}
  workers.forEach(worker => worker.logs.filter(Boolean).forEach(look));
  return sizes;
}

// PM2 loses what a worker in cluster mode prints right before it exits, so there may be nothing to show.
function newLogLines(workers, sizes) {
  const files = new Map();
  workers.forEach(worker => worker.logs.forEach((file, i) => file && files.set(file, i ? 'err' : 'out')));
  const lines = [].concat(...Array.from(files, ([file, kind]) => tail(file, 20, sizes[file] || 0).map(line => `${kind}: ${line}`)));
  return lines.length ? lines.slice(-20) : ["PM2's logs have nothing new from it"];
}

const whole = (health, def) => Object.assign({}, health, { path: def.asks || null });

// Starts an app that PM2 doesn't have, from a file outside the releases. The daemon that may be born of this sees
// none of the app's environment.
async function start(app, tag) {
  const file = writeJson(`start-${tag}.json`, { apps: [app] });
  const result = await pm2(['start', file], { ms: 60000 + (app.listen_timeout || 3000) });
  const workers = workersOf(await jlist(), app.name);
  if (!workers.length) throw new Failure(`PM2 did not start ${app.name}: ${result.errors[0] || (result.late ? 'it did not finish in time' : `exit ${result.code}`)}`);
  return { workers, said: result };
}

function label(worker, index, total) {
  return `worker ${index + 1} of ${total}${worker.pid ? ` (pid ${worker.pid})` : ''}`;
}

function tell(proved, index, total, release, what) {
  note(`${label(proved, index, total)} runs ${release}${what ? ` and ${what}` : ''}`);
  if (proved.doubt) {
    note(`not provable here: ${proved.doubt}`);
    fact('doubt', proved.doubt);
  }
}

async function activateOne(def, health, before, live) {
  const look = whole(health, def);
  const what = def.port ? (look.path ? 'answers' : 'listens') : '';
  let workers = workersOf(await jlist(), def.name);
  if (whyMove(def, workers)) return move(def, workers, look, live);
  let said;
  const first = !workers.length;
  if (first) {
    note(`first start of ${def.name}`);
    ({ workers, said } = await start(def.app, live.workers.length));
    const wanted = wantedInstances(def.app);
    if (workers.length !== wanted) throw new Failure(`PM2 started ${count(workers.length, 'worker')} of ${def.name} instead of ${wanted}`);
  }
  for (let i = 0; i < workers.length; i++) {
    let worker = workers[i];
    try {
      let want = { restarts: 0, oldPid: 0 };
      if (!first) {
        stopIfAsked();
        const was = before.find(w => w.id === worker.id);
        // One that restarts by itself is broken already; nothing is lost by stopping it first.
        want = await renew(worker, def.app, !was || (was.steady && was.restarts === worker.restarts), stopIfAsked);
      }
      const proved = await prove(def.name, worker.id, Object.assign(want, { release: NEW, port: def.port, health: look }));
      live.workers.push({ name: def.name, id: proved.id, pid: proved.pid, start: proved.start, restarts: proved.restarts, total: workers.length, index: i });
      writeJson('live.json', live);
      tell(proved, i, workers.length, NEW, what);
    } catch (error) {
      if (error instanceof Failure) {
        const now = await jlist().then(list => workersOf(list, def.name)).catch(() => workers);
        const self = now.find(w => w.id === worker.id) || worker;
        error.message = `${label(self, i, workers.length)} of ${def.name}: ${error.message}`;
        error.lines = newLogLines([self], live.sizes);
      }
      throw error;
    }
  }
  return undefined;
}

async function activate() {
  const { health } = settings();
  const defs = readJson(path.join(DIR, 'apps.json'));
  const known = readJson(path.join(DIR, 'baseline.json'));
  const live = { release: NEW, sizes: logSizes(workersOf(await jlist())), workers: [] };
  writeJson('live.json', live);
  for (const def of defs) {
    stopIfAsked();
    const app = known.apps.find(one => one.name === def.name);
    await activateOne(def, health, (app && app.workers) || [], live);
  }
  // The other colour is live until the requests are led over.
  const left = COLOUR ? [] : known.apps.filter(app => app.exists && !defs.some(def => def.name === app.name));
  left.forEach(app => note(`PM2's app ${quoted(app.name)} is not among the release's apps and was left as it is: pm2 delete ${quoted(app.name)} && pm2 save removes it`));
}

// The soak: for `ms` every worker that activate proved stays the very same process.
async function watch(ms) {
  const live = readJson(path.join(DIR, 'live.json'));
  const name = one => `worker ${one.index + 1} of ${one.total} (pid ${one.pid}) of ${one.name}`;
  const lost = async (one, what) => {
    const error = new Failure(`${name(one)} ${what}`);
    const workers = workersOf(await jlist().catch(() => []), one.name).filter(w => w.id === one.id);
    error.lines = newLogLines(workers, live.sizes);
    return error;
  };
  const listed = async () => {
    const list = workersOf(await jlist());
    for (const one of live.workers) {
      const now = list.find(w => w.id === one.id && w.name === one.name);
      if (!now) throw await lost(one, 'is gone from PM2');
      if (now.pid !== one.pid || now.restarts !== one.restarts) throw await lost(one, 'restarted during the soak');
      if (now.status !== 'online') throw await lost(one, `is ${now.status}`);
    }
  };
  const until = clock() + Number(ms || 0);
  await listed();
  while (clock() < until) {
    stopIfAsked();
    for (const one of live.workers) {
      if (one.start && startOf(one.pid) !== one.start) throw await lost(one, 'restarted during the soak');
    }
    await sleep(Math.min(200, Math.max(1, until - clock())));
  }
  await listed();
  for (const one of live.workers) {
    const place = placeOf(one.pid);
    if (place.release && (place.release !== live.release || place.gone)) throw await lost(one, `runs ${place.release}${place.gone ? ' (deleted)' : ''} instead of ${live.release}`);
  }
}
