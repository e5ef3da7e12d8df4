// `current` names the old release again (or nothing): bring PM2 back to what the baseline says. Looks at what is,
// not at what was done, so it can be run again, by another process, after a crash; what is right is not touched.
'use strict';

const sound = (was, app, known) => was && was.status === 'online' && was.steady && was.release === releaseBefore(app) && !was.gone && (!app.asks || known.health === 'ok');

async function remove(workers) {
  const list = await jlist();
  const ids = workers.map(worker => unmistakable(list, String(worker.id)));
  const name = workers[0].name;
  const slow = Math.max(...workers.map(w => w.raw.kill_timeout || 1600)) * 2 + 30000;
  let result;
  for (let turn = 0; turn < 3; turn++) {
    result = await act(['delete'].concat(ids), { ms: slow });
    if (!workersOf(await jlist(), name).length) return note(`${name} was not there before: removed from PM2`);
    await sleep(500);
  }
  throw new Failure(`PM2 did not delete ${name}: ${result.errors[0] || `exit ${result.code}`}`);
}

// Where the daemon died, a process of a fork-mode app lives on and would keep the port from its successor.
async function endOrphan(one) {
  if (!one.pid || !one.start || startOf(one.pid) !== one.start) return;
  note(`ending process ${one.pid}, which PM2 no longer knows`);
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    try {
      process.kill(one.pid, signal);
    } catch (error) {}
    for (let i = 0; i < 50 && startOf(one.pid) === one.start; i++) await sleep(100);
  }
}

// Whether this worker needs nothing: the process of before, or one that is proved to be as good.
async function isRight(worker, was, app, look, needs) {
  if (worker.status !== 'online' || !worker.pid) return false;
  const place = placeOf(worker.pid);
  const untouched = was && was.pid === worker.pid && was.start === startOf(worker.pid);
  if (place.release && (place.release !== OLD || place.gone)) return false;
  if (untouched) return true;
  if (place.hidden) return false;
  try {
    await prove(worker.name, worker.id, { release: OLD, restarts: worker.restarts, oldPid: 0, port: needs ? app.port : null, health: look });
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

async function stop(worker, app) {
  await act(['stop', unmistakable(await jlist(), String(worker.id))], { ms: (app.app.kill_timeout || 1600) * 2 + 30000 });
}

async function restoreWorker(worker, index, total, app, context) {
  const { known, look, live } = context;
  const was = app.workers.find(w => w.id === worker.id);
  const good = sound(was, app, known);
  const needs = app.asks && known.health === 'ok';
  if (was && was.status === 'stopped' || !OLD) {
    const running = worker.status !== 'stopped' && worker.status !== 'errored';
    if (running) await stop(worker, app);
    context.unhealthy = true;
    return running && note(`${label(worker, index, total)} stopped, ${was ? `it was ${was.status} before` : 'there is no release to run'}`);
  }
  if (await isRight(worker, was, app, look, needs)) return undefined;
  const proved = live.find(w => w.id === worker.id && w.pid === worker.pid && w.restarts === worker.restarts);
  let problem;
  for (const steady of [Boolean(proved || (was && was.pid === worker.pid)), false]) {
    try {
      const want = await renew(worker, app.app, steady);
      const back = await prove(worker.name, worker.id, Object.assign(want, { release: OLD, port: needs ? app.port : null, health: good ? look : Object.assign({}, look, { within_ms: Math.min(look.within_ms, 5000) }) }));
      return tell(back, index, total, OLD, needs && app.port ? 'answers again' : '');
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      problem = error.message;
      if (!good) break;
    }
  }
  const text = `${label(worker, index, total)} of ${worker.name}: ${problem}`;
  const now = workersOf(await jlist(), worker.name).find(w => w.id === worker.id);
  const place = now && now.pid ? placeOf(now.pid) : {};
  if (good || (place.release && place.release !== OLD)) throw new Failure(text);
  context.unhealthy = true;
  return note(`${text}; it was not well before either`);
}

async function restore(app, workers, context) {
  const { failures } = context;
  const attempt = async job => {
    try {
      await job();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(error.message);
    }
  };
  if (!workers.length) {
    for (const one of app.workers.concat(context.live.filter(w => w.name === app.name))) await endOrphan(one);
    if (!OLD) return undefined;
    note(`${app.name} is gone from PM2: starting it as it was`);
    return attempt(async () => {
      const begun = await start(app.app, 'back');
      for (let i = 0; i < begun.workers.length; i++) {
        const was = app.workers[i];
        const good = sound(was, app, context.known);
        if (was && was.status === 'stopped') {
          await stop(begun.workers[i], app);
          continue;
        }
        try {
          const back = await prove(app.name, begun.workers[i].id, { release: OLD, restarts: 0, oldPid: 0, port: good && app.asks ? app.port : null, health: context.look });
          tell(back, i, begun.workers.length, OLD, 'is back');
        } catch (error) {
          if (good || !(error instanceof Failure)) throw error;
          context.unhealthy = true;
        }
      }
    });
  }
  for (let i = 0; i < workers.length; i++) await attempt(() => restoreWorker(workers[i], i, workers.length, app, context));
  if (workers.length < app.workers.length) {
    failures.push(`PM2 runs ${count(workers.length, 'worker')} of ${app.name} instead of ${app.workers.length}: pm2 scale ${quoted(app.name)} ${app.workers.length}`);
  }
  return undefined;
}

function readOr(name, fallback) {
  try {
    return readJson(path.join(DIR, name));
  } catch (error) {
    return fallback;
  }
}

async function revert() {
  const known = readJson(path.join(DIR, 'baseline.json'));
  const { look } = known;
  const context = { known, failures: [], unhealthy: false, look, live: readOr('live.json', { workers: [] }).workers };
  const list = workersOf(await jlist());
  if (known.whole) {
    // The baseline names every app of this folder; another one here was started since.
    const extra = Array.from(new Set(list.filter(isOurs).map(w => w.name))).filter(name => !known.apps.some(app => app.name === name || secondName(app.name) === name));
    extra.forEach(name => known.apps.push({ name, exists: false, workers: [] }));
  }
  for (const app of known.apps) {
    const workers = list.filter(worker => worker.name === app.name);
    if (app.exists && (!app.ours || workers.some(worker => !isOurs(worker)))) {
      note(`PM2's app ${quoted(app.name)} runs from elsewhere and was not touched`);
    } else if (app.exists) {
      app.asks = Boolean(known.port && app.port === known.port);
      await (wasMoved(app, list) ? restoreMoved(app, context) : restore(app, workers, context));
    } else if (workers.length && isOurs(workers[0])) {
      await remove(workers);
    }
  }
  const existed = known.apps.some(app => app.exists);
  if (existed && known.port && known.health === 'ok' && !context.failures.length && OLD) await answersAgain(known.port, look, context);
  const before = known.apps.some(app => app.exists && app.workers.some(w => !sound(w, app, known))) || (existed && known.health !== 'ok' && known.health !== null);
  if (existed) fact('before', before || context.unhealthy ? 'unhealthy' : 'healthy');
  if (context.failures.length) throw Object.assign(new Failure(context.failures.join('; ')), { lines: [] });
}

async function answersAgain(port, look, context) {
  const until = clock() + look.within_ms;
  let fault;
  do {
    fault = (await ask(port, look)).fault;
    if (!fault) return;
    await sleep(Math.min(look.interval_ms, 500));
  } while (clock() < until);
  context.failures.push(fault);
}
