// What is live before the deploy, written down so that any later process can put it back; and what stands in the
// way of the deploy. Only reads.
'use strict';

// What PM2 must be told to start an app again as it was.
const KEPT = ['node_args', 'args', 'kill_timeout', 'listen_timeout', 'max_memory_restart', 'autorestart', 'max_restarts', 'min_uptime', 'restart_delay', 'exp_backoff_restart_delay', 'wait_ready', 'cron_restart', 'namespace', 'instance_var', 'increment_var', 'merge_logs', 'log_date_format', 'log_type', 'treekill', 'shutdown_with_message', 'stop_exit_codes', 'source_map_support', 'disable_source_map_support', 'uid', 'gid', 'vizion', 'pmx'];

function definitionOf(workers) {
  const raw = workers[0].raw;
  const env = {};
  Object.keys(raw.env || {}).forEach(key => {
    const value = raw.env[key];
    if (value !== null && typeof value !== 'object' && !RESERVED.test(key) && key !== raw.name && key !== (raw.instance_var || 'NODE_APP_INSTANCE')) env[key] = String(value);
  });
  const app = { name: raw.name, exec: raw.pm_exec_path, cwd: raw.pm_cwd, exec_mode: raw.exec_mode, instances: workers.length, env };
  KEPT.forEach(key => {
    if (raw[key] !== undefined && raw[key] !== null) app[key] = raw[key];
  });
  if (raw.exec_interpreter && raw.exec_mode !== 'cluster_mode') app.interpreter = raw.exec_interpreter;
  if (raw.pm_out_log_path) app.out_file = raw.pm_out_log_path;
  if (raw.pm_err_log_path) app.error_file = raw.pm_err_log_path;
  return app;
}

// One that started a moment ago, long after PM2 was last told to start it, was restarted because it ended: it is
// looked at for a while, to see whether it does so again and again.
const restarted = ({ status, since, raw }) => status === 'online' && Date.now() - since < 5000 && since - raw.created_at > (raw.kill_timeout || 1600) + 500;

async function steadyList(daemon) {
  if (!daemon) return [];
  const first = workersOf(await jlist());
  const wait = Math.max(0, ...first.filter(isOurs).filter(restarted).map(w => 5000 - (Date.now() - w.since)));
  if (!wait) return first.map(worker => Object.assign(worker, { steady: true }));
  await sleep(Math.min(wait, 5000));
  const then = workersOf(await jlist());
  return then.map(worker => {
    const was = first.find(w => w.id === worker.id);
    return Object.assign(worker, { steady: !was || (was.restarts === worker.restarts && was.pid === worker.pid) });
  });
}

function snapshot(worker) {
  const place = worker.pid ? placeOf(worker.pid) : { hidden: 'no process' };
  return {
    id: worker.id, pid: worker.pid, start: worker.pid ? startOf(worker.pid) : null, status: worker.status, steady: worker.steady,
    restarts: worker.restarts, release: place.release || null, gone: Boolean(place.gone), hidden: place.hidden || null, elsewhere: place.elsewhere || null,
  };
}

// BASE may have been reached by another name when the app was started.
const ownName = file => (inside(file || '', REAL_BASE) ? path.join(BASE, file.slice(REAL_BASE.length)) : file || '');
const isOurs = worker => inside(ownName(worker.raw.pm_cwd), BASE) || inside(ownName(worker.raw.pm_exec_path), BASE);
const quoted = name => (/^[\w.@+-]+$/.test(name) ? name : `'${name.replace(/'/g, "'\\''")}'`);
const few = names => names.slice(0, 8).join(', ') + (names.length > 8 ? ' ...' : '');
const same = (a, b) => JSON.stringify(a || []) === JSON.stringify(b || []);

// What keeps a deploy from making `workers` what `def` says: [{what, cure}].
function obstacles(def, workers) {
  const name = quoted(def.name);
  const { raw } = workers[0];
  const [cwd, script] = [ownName(raw.pm_cwd), ownName(raw.pm_exec_path)];
  if (!pinnedTo(workers) && !inside(cwd, CURRENT) && !inside(script, CURRENT)) {
    return [{ what: `PM2 already has an app ${name} that runs from ${cwd}, which is not ${CURRENT}; it is not touched`, cure: `choose another \`app\` name, or pm2 delete ${name}` }];
  }
  if (movable(def, workers)) return [];
  const modes = `Only in cluster mode can another process take over its port without a gap; it runs in ${modeOf(raw)} mode, the settings say ${def.app.exec_mode}`;
  return differences(def, workers).map(what => ({
    what: `PM2's app ${name} is ${what}; no reload changes that. ${modes}`,
    cure: `pm2 delete ${name} && pm2 save, then deploy again (nothing answers in between)`,
  }));
}

function warnings(def, workers) {
  const wanted = wantedInstances(def.app);
  if (wanted === workers.length || pinnedTo(workers) || movable(def, workers)) return [];
  return [`PM2 runs ${count(workers.length, 'worker')} of ${quoted(def.name)}, the settings say ${wanted}: a reload does not change that; pm2 scale ${quoted(def.name)} ${wanted} && pm2 save does`];
}

// What of a definition does not come to be where no move is possible, and what goes with one or stays.
function unreached(def, workers) {
  const name = quoted(def.name);
  const found = [];
  if (!movable(def, workers)) {
    const cure = `pm2 delete ${name} && pm2 save, then deploy again`;
    const gone = kept(def, workers);
    changed(def, workers[0]).forEach(what => found.push(`PM2's app ${name} is ${what}; no reload changes that: ${cure}`));
    if (gone.length) found.push(`PM2 keeps of ${name} what the settings no longer have: ${few(gone)}; no reload changes that: ${cure}`);
  }
  const others = foreign(def, workers);
  if (others.length && whyMove(def, workers)) found.push(`${name} is started anew without variables that the settings don't have: ${few(others)}; what it needs belongs in env_file or env`);
  else if (others.length) found.push(`PM2 keeps variables of ${name} that the settings don't have: ${few(others)}`);
  return found;
}

// What the settings ask for, as far as it can be known before the release is here.
function expected({ service, appDir }) {
  if (service.ecosystem || !service.script) return null;
  const cwd = path.join(CURRENT, appDir);
  const exec = service.script.startsWith('/') ? path.join(CURRENT, service.script) : path.resolve(cwd, service.script);
  const app = {
    name: service.name, cwd, exec, exec_mode: service.mode, instances: service.instances === null || service.instances === undefined ? 'max' : service.instances,
    node_args: nodeArgs(nodeOptions(service, { exec_mode: service.mode, node_args: service.node_args }), path.join(RELEASE, appDir)), args: words(service.args),
    max_memory_restart: service.max_memory,
  };
  return { name: service.name, command: !service.script.includes('/') && !service.script.includes('.'), app };
}

// Refuses a port that is held by somebody else.
function checkPort(port, names, all, cluster, refuse) {
  const crew = all.filter(worker => names.includes(worker.name) && worker.pid);
  const ids = [].concat(...crew.map(worker => family(worker.pid)));
  for (const holder of holdersOf(port)) {
    if (holder.pid && ids.includes(holder.pid)) continue;
    if (holder.pid && /God Daemon/.test(holder.command)) {
      // PM2's daemon holds the ports of all its cluster apps; which app, only their settings tell.
      if (crew.some(worker => !worker.fork)) continue;
      const other = all.find(w => !names.includes(w.name) && !w.fork && String((w.raw.env || {}).PORT || w.raw.PORT) === String(port));
      if (other && isOurs(other) && cluster) {
        fact('warn', `port ${port} is shared with PM2's app ${quoted(other.name)} of this folder: pm2 delete ${quoted(other.name)} && pm2 save when this deploy is done`);
        continue;
      }
      refuse(`port ${port} is held by ${other ? `PM2's app ${quoted(other.name)}` : 'another app of PM2'}`, `choose another port, or stop that app${other ? `: pm2 delete ${quoted(other.name)} && pm2 save` : ''}`);
    } else if (holder.pid && all.some(w => w.pid && family(w.pid).includes(holder.pid))) {
      // A process that PM2 would only start again.
      const other = quoted(all.find(w => w.pid && family(w.pid).includes(holder.pid)).name);
      refuse(`port ${port} is held by PM2's app ${other}`, `choose another port, or stop that app: pm2 delete ${other} && pm2 save`);
    } else if (holder.pid) {
      refuse(`port ${port} is held by process ${holder.pid} (${holder.command})`, `choose another port, or stop that process: kill ${holder.pid}`);
    } else if (process.getuid && holder.uid !== process.getuid()) {
      refuse(`port ${port} is held by a process of user ${holder.uid}`, 'choose another port, or stop that process');
    }
  }
}

function describe(apps) {
  const workers = [].concat(...apps.map(app => app.workers));
  if (!workers.length) return 'absent';
  const online = workers.filter(worker => worker.status === 'online');
  const releases = Array.from(new Set(online.map(worker => worker.release || '?')));
  const bad = workers.find(worker => worker.status !== 'online');
  if (bad) return `broken worker ${bad.id} is ${bad.status}, ${online.length} of ${workers.length} online`;
  const restless = workers.find(worker => !worker.steady);
  if (restless) return `broken worker ${restless.id} keeps restarting (${restless.restarts} times)`;
  const gone = workers.find(worker => worker.gone);
  if (gone) return `broken worker ${gone.id} runs ${gone.release}, whose directory was removed`;
  if (releases.length > 1) return `broken its workers run ${releases.join(' and ')}`;
  return `online ${online.length}/${workers.length} ${releases[0]}`;
}

// Where the live release answers, and what it answers when it is well: its own record says so, since the settings of
// today are those of the release that comes. Without a record the settings are all there is.
function liveLook(all) {
  try {
    const { service, health } = readJson(path.join(BASE, '.shipit', 'records', `${OLD}.json`));
    const ms = time => Math.round(time.secs * 1000 + time.nanos / 1e6);
    const times = { timeout_ms: ms(health.timeout), interval_ms: ms(health.interval), within_ms: ms(health.within) };
    // What held a secret was not kept: it is as the settings have it now.
    const filled = (kept, now) => (typeof kept === 'string' && kept.includes('***') && now !== undefined ? now : kept);
    const each = (kept, now) => Object.keys(kept || {}).reduce((all, key) => Object.assign(all, { [key]: filled(kept[key], (now || {})[key]) }), {});
    const { path: asked, headers, expect } = all.health;
    const wanted = Object.assign(each(health.expect, expect), { json: each(health.expect.json, expect.json) });
    const look = { path: filled(health.path, asked), headers: each(health.headers, headers), expect: wanted };
    return { port: COLOUR_PORT || service.port || null, look: Object.assign({}, all.health, look, times) };
  } catch (error) {
    return { port: all.service.port, look: all.health };
  }
}

// What runs now, as far as it concerns the settings' apps.
async function present() {
  const all = settings();
  const { service } = all;
  const live = liveLook(all);
  const daemon = await daemonAlive();
  const list = await steadyList(daemon);
  // An earlier release may have run other apps than the settings of today name.
  const whole = !COLOUR && (Boolean(service.ecosystem) || all.earlier);
  const inHere = list.filter(isOurs).map(worker => worker.name);
  const names = Array.from(new Set(whole ? (service.only || []).concat(service.ecosystem ? [] : [service.name], inHere) : [service.name]));
  const apps = names.map(name => {
    const workers = list.filter(worker => worker.name === name);
    if (!workers.length) return { name, exists: false, workers: [] };
    const app = definitionOf(workers);
    return { name, exists: true, ours: workers.every(isOurs), pinned: pinnedTo(workers), app, port: live.port || Number(app.env.PORT) || null, workers: workers.map(snapshot) };
  });
  const first = apps.find(app => app.exists && app.port);
  const port = live.port || (first && first.port);
  let heard = null;
  if (port && apps.some(app => app.exists)) {
    for (let turn = 0; turn < 2 && heard !== 'ok'; turn++) {
      if (turn) await sleep(300);
      heard = (await ask(port, live.look)).fault || 'ok';
    }
  }
  return { all, daemon, list, live, whole, port, heard, apps };
}

async function baseline() {
  const seen = await present();
  const { daemon, whole, port, heard, live, apps } = seen;
  writeJson('baseline.json', { old: OLD, daemon, whole, port, health: heard, look: live.look, apps });
  tellPresent(seen);
}

function tellPresent({ all, list, heard, apps }) {
  fact('service', describe(apps));
  fact('health', heard || 'none');
  // How an earlier release is run stands in its record: `prepare` judges that.
  if (!all.earlier && !COLOUR && !IDLE) findings(all, apps, list);
}

function findings(all, apps, list) {
  const { service } = all;
  let def = null;
  try {
    def = expected(all);
  } catch (error) {
    refuse(error.message, 'correct it in deploy.toml');
  }
  apps.filter(app => app.exists).forEach(app => {
    const workers = list.filter(worker => worker.name === app.name);
    // Before the release is here, of an ecosystem's apps only the folder they run from can be judged.
    const like = def || { name: app.name, command: true, app: { cwd: ownName(app.app.cwd), exec_mode: String(app.app.exec_mode).replace('_mode', ''), node_args: app.app.node_args, args: app.app.args, max_memory_restart: app.app.max_memory_restart, instances: workers.length } };
    const found = obstacles(like, workers).concat(leftOver(app.name, list));
    found.forEach(({ what, cure }) => refuse(what, cure));
    const why = found.length ? '' : whyMove(like, workers);
    if (why) note(`PM2's app ${quoted(app.name)} is ${why}; this deploy moves it without a gap`);
    if (def) warnings(def, workers).forEach(text => fact('warn', text));
  });
  if (service.port) checkPort(service.port, apps.map(app => app.name), list, service.mode === 'cluster' || Boolean(service.ecosystem), refuse);
}
