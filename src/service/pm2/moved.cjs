// Apps that no reload brings to what the settings say: started inside a release (`cd current && pm2 start`, `__dirname`),
// for PM2 keeps that path; or with another script, node_args or args, or another number of workers. Moves them without a
// gap, and puts them back as they were.
//
// PM2 can't start an app anew beside itself, nor rename it. So a second app of another name takes over: in cluster mode
// both have the same port from the one daemon. It serves while the first is deleted and started as it is to be. Each
// step leaves somebody who answers, and says by itself, to whoever looks later, how far it went.
'use strict';

// What PM2 keeps of a release's path; none for an app that goes by `current`.
function pinnedTo(workers) {
  const paths = [].concat(...workers.map(({ raw }) => [raw.pm_exec_path, raw.pm_cwd]));
  return paths.map(ownName).find(file => inside(file, path.join(BASE, 'releases'))) || null;
}

const secondName = name => `${name}.moving`;
const shownPath = file => path.relative(BASE, file);
const modeOf = raw => String(raw.exec_mode).replace('_mode', '');

// How `workers` differ from `def` in what a reload leaves as it is; empty where they don't.
function differences(def, workers) {
  const { app } = def;
  const { raw } = workers[0];
  const pinned = pinnedTo(workers);
  if (pinned) return [`tied to ${shownPath(pinned)}: it was not started through current`];
  const [cwd, script] = [ownName(raw.pm_cwd), ownName(raw.pm_exec_path)];
  const found = [];
  if (!def.command && script !== app.exec) found.push(`script ${script}, now ${app.exec}`);
  if (cwd !== app.cwd) found.push(`directory ${cwd}, now ${app.cwd}`);
  if (modeOf(raw) !== app.exec_mode) found.push(`mode ${modeOf(raw)}, now ${app.exec_mode}`);
  if (!same(raw.node_args, app.node_args)) found.push(`node_args ${short(raw.node_args || [])}, now ${short(app.node_args)}`);
  if (!same(raw.args, app.args)) found.push(`args ${short(raw.args || [])}, now ${short(app.args)}`);
  return found.length ? [`one with another ${found.join('; ')}`] : [];
}

// Names of variables that the settings of this home have had. What else PM2 keeps with an app may be what it lives by:
// somebody exported it and started the app by hand.
const VARIABLES = path.join(BASE, '.shipit', 'variables');

function variablesHad() {
  try {
    return fs.readFileSync(VARIABLES, 'utf8').split('\n').filter(Boolean);
  } catch (error) {
    return [];
  }
}

// What comes with every login.
const OF_A_LOGIN = /^(SHELL|PWD|OLDPWD|SHLVL|TERM|_|MAIL|LS_COLORS|SSH_.*|XDG_.*|NVM_.*|LC_.*|HOSTNAME|npm_.*)$/;

// Variables that PM2 has of an app, and the settings have not and never had.
function foreign({ app }, workers) {
  const had = variablesHad();
  return Object.keys(definitionOf(workers).env).filter(key => !(key in app.env) && !(key in CLEAN) && !had.includes(key) && !OF_A_LOGIN.test(key));
}

// What a reload leaves with an app though the settings no longer have it: it only adds and changes.
function kept({ app }, workers) {
  const found = workers[0].raw.max_memory_restart && !app.max_memory_restart ? ['max_memory'] : [];
  if (!app.env) return found;
  const { env } = definitionOf(workers);
  return found.concat(variablesHad().filter(key => key in env && !(key in app.env) && !(key in CLEAN)).map(key => `variable ${key}`));
}

// Settings of an ecosystem file that only a start takes over, where PM2 keeps them as they are written.
const FIXED = ['autorestart', 'max_restarts', 'restart_delay', 'exp_backoff_restart_delay', 'wait_ready', 'cron_restart', 'log_date_format', 'treekill', 'shutdown_with_message'];

const changed = ({ app }, { raw }) => FIXED.filter(key => app[key] !== undefined && String(app[key] || '') !== String(raw[key] || '')).map(key => `one with another ${key} ${raw[key]}, now ${app[key]}`);

// Only in cluster mode can another process take over a port without a gap.
const movable = (def, workers) => workers.every(worker => !worker.fork) && def.app.exec_mode === 'cluster';

// Why these workers have to be moved; empty where a reload is enough, or nothing can be done without a gap.
function whyMove(def, workers) {
  if (!workers.length || !movable(def, workers)) return '';
  const wanted = wantedInstances(def.app);
  const number = wanted === workers.length || pinnedTo(workers) ? [] : [`one of ${count(workers.length, 'worker')}, now ${wanted}`];
  const over = kept(def, workers);
  return differences(def, workers).concat(number, changed(def, workers[0]), over.length ? [`one with what the settings no longer have: ${few(over)}`] : []).join('; ');
}

// What a move leaves when even its recovery was cut off.
function leftOver(name, list) {
  if (!list.some(worker => worker.name === secondName(name))) return [];
  const second = quoted(secondName(name));
  return [{ what: `PM2 has an app ${second}, which a deploy starts only to move ${quoted(name)}`, cure: `when ${quoted(name)} answers by itself: pm2 delete ${second} && pm2 save` }];
}

// Deletes workers one by one; the others of their port answer meanwhile.
async function dismiss(workers) {
  for (const worker of workers) {
    const slow = (worker.raw.kill_timeout || 1600) * 2 + 30000;
    const there = list => workersOf(list, worker.name).some(w => w.id === worker.id);
    let result = null;
    for (let turn = 0; ; turn++) {
      const list = await jlist();
      if (!there(list)) break;
      if (turn === 3) throw new Failure(`PM2 did not delete worker ${worker.id} of ${worker.name}: ${result.errors[0] || `exit ${result.code}`}`);
      if (turn) await sleep(500);
      result = await act(['delete', unmistakable(list, String(worker.id))], { ms: slow });
    }
  }
}

// Starts an app and proves all of its workers; answers them.
async function startProved(app, tag, want, wanted) {
  const { workers, said } = await start(app, tag);
  if (workers.length !== wanted) throw new Failure(`PM2 started ${count(workers.length, 'worker')} of ${app.name} instead of ${wanted}: ${said.errors[0] || `exit ${said.code}`}`);
  const proved = [];
  for (const [i, worker] of workers.entries()) {
    try {
      proved.push(await prove(app.name, worker.id, Object.assign({ restarts: 0, oldPid: 0 }, want)));
    } catch (error) {
      if (error instanceof Failure) error.message = `${label(worker, i, wanted)} of ${app.name}: ${error.message}`;
      throw error;
    }
  }
  return proved;
}

async function move(def, old, look, live) {
  const { name, app } = def;
  const wanted = wantedInstances(app);
  const want = { release: NEW, port: def.port, health: look };
  const tag = live.workers.length;
  const second = Object.assign({}, app, { name: secondName(name) });
  note(`${name} is ${whyMove(def, old)}: ${second.name} takes over while it is started anew`);
  try {
    const taking = await startProved(second, `${tag}-moving`, want, wanted);
    stopIfAsked();
    await dismiss(old);
    stopIfAsked();
    const proved = await startProved(app, tag, want, wanted);
    stopIfAsked();
    await dismiss(taking);
    proved.forEach((worker, index) => {
      live.workers.push({ name, id: worker.id, pid: worker.pid, start: worker.start, restarts: worker.restarts, total: wanted, index });
      tell(worker, index, wanted, NEW, def.port ? (look.path ? 'answers' : 'listens') : '');
    });
  } catch (error) {
    if (error instanceof Failure) {
      const now = await jlist().then(workersOf).catch(() => []);
      error.lines = newLogLines(now.filter(w => w.name === second.name || (w.name === name && !old.some(one => one.pid === w.pid))), live.sizes);
    }
    throw error;
  }
  writeJson('live.json', live);
  note(`${name} was started anew, as the settings say`);
}

// The release that an app of the baseline ran.
const releaseBefore = app => (app.pinned ? app.workers[0].release : OLD);

// Whether a worker is of the same making as the baseline's.
function madeAs({ raw }, { app }) {
  const shape = (exec, cwd, mode, one) => JSON.stringify([exec, cwd, String(mode).replace('_mode', ''), words(one.node_args), words(one.args)]);
  return shape(raw.pm_exec_path, raw.pm_cwd, raw.exec_mode, raw) === shape(app.exec, app.cwd, app.exec_mode, app);
}

// Whether somebody began to move this app, by what there is of it.
function wasMoved(app, list) {
  const mine = list.filter(worker => worker.name === app.name);
  return app.pinned || list.some(worker => worker.name === secondName(app.name))
    || (mine.length > 0 && !mine[0].fork && (mine.length !== app.workers.length || !mine.every(worker => madeAs(worker, app))));
}

// Whether these workers are those of the baseline, or as good.
function asBefore(workers, app) {
  return workers.length === app.workers.length && workers.every(worker => {
    const was = app.workers.find(w => w.id === worker.id) || app.workers[0];
    if (was.pid === worker.pid && was.start === startOf(worker.pid)) return true;
    const place = worker.pid ? placeOf(worker.pid) : {};
    return madeAs(worker, app) && worker.status === 'online' && place.release === releaseBefore(app) && !place.gone;
  });
}

// By state, like all of revert: whoever serves goes on serving until those of before are back and proved.
async function restoreMoved(app, { known, look, failures }) {
  const port = app.asks && known.health === 'ok' ? app.port : null;
  const want = () => ({ release: releaseBefore(app), port, health: look });
  const named = async name => workersOf(await jlist(), name);
  const second = secondName(app.name);
  try {
    const mine = await named(app.name);
    if (!asBefore(mine, app)) {
      const covers = (await named(second)).some(worker => worker.status === 'online');
      if (mine.some(worker => worker.status === 'online') && !covers) {
        await dismiss(await named(second));
        await startProved(Object.assign({}, app.app, { name: second }), 'cover', want(), app.workers.length);
      }
      await dismiss(mine);
      const idle = app.workers.every(was => was.status === 'stopped');
      if (idle) for (const worker of (await start(app.app, 'back')).workers) await stop(worker, app);
      else await startProved(app.app, 'back', want(), app.workers.length);
      note(`${app.name} runs again as it was${app.pinned ? `, tied to ${shownPath(app.pinned)}` : ''}`);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (app.workers.every(was => sound(was, app, known))) failures.push(error.message);
    else note(`${error.message}; it was not well before either`);
  }
  try {
    await dismiss(await named(second));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    failures.push(error.message);
  }
}
