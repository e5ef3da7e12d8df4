// Blue-green: what only one of two colours asks for. COLOUR is the one this call is about; an app of PM2 has its name.
'use strict';

const otherColour = COLOUR === 'blue' ? 'green' : 'blue';

// What stands in the way of a start in this colour's place. What runs there by its name is replaced, if it is ours.
async function free() {
  const { service } = settings();
  const list = workersOf(await jlist());
  const strange = list.find(worker => worker.name === service.name && !isOurs(worker));
  if (strange) refuse(`PM2 already has an app ${quoted(service.name)} that runs from ${ownName(strange.raw.pm_cwd)}, which is not this app's home; it is not touched`, `choose another \`app\` name, or pm2 delete ${quoted(service.name)}`);
  checkPort(service.port, [service.name], list, false, refuse);
}

// Takes an app out of what PM2 brings back after a reboot. `pm2 save` does not save an empty list.
function leaveOut(name) {
  const file = path.join(HOME, 'dump.pm2');
  if (!fs.existsSync(file)) return;
  const saved = readJson(file);
  const kept = saved.filter(app => app.name !== name);
  if (kept.length === saved.length) return;
  fs.writeFileSync(`${file}.part`, JSON.stringify(kept, '', 2), { mode: 0o600 });
  fs.renameSync(`${file}.part`, file);
}

// Ends this colour's workers and takes them out of PM2. Those that the daemon no longer knows are not its business.
async function stopColour() {
  const { service } = settings();
  leaveOut(service.name);
  const workers = workersOf(await jlist(), service.name);
  if (!workers.length) return;
  if (!workers.every(isOurs)) throw new Failure(`PM2's app ${quoted(service.name)} runs from elsewhere and is not touched`);
  const slow = Math.max(...workers.map(w => w.raw.kill_timeout || 1600)) * 2 + 30000;
  let result;
  for (let turn = 0; turn < 3; turn++) {
    const list = await jlist();
    const ids = workersOf(list, service.name).map(worker => unmistakable(list, String(worker.id)));
    if (!ids.length) return note(`${service.name} was stopped`);
    if (turn) await sleep(500);
    result = await act(['delete'].concat(ids), { ms: slow });
  }
  if (workersOf(await jlist(), service.name).length) throw new Failure(`PM2 did not delete ${service.name}: ${result.errors[0] || `exit ${result.code}`}`);
  return note(`${service.name} was stopped`);
}

// Whether all workers of the release are here still, as it wants them, and well: then nothing has to be started.
async function resume() {
  try {
    await proveHere(settings().health);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    note(`${error.message}: it is started anew`);
    throw new Stopped();
  }
}

async function proveHere(health) {
  const [def] = readJson(path.join(DIR, 'apps.json'));
  const workers = workersOf(await jlist(), def.name);
  if (workers.length !== wantedInstances(def.app)) throw new Failure(`${def.name} does not run as the release wants it`);
  const live = { release: NEW, sizes: logSizes(workers), workers: [] };
  for (const [index, worker] of workers.entries()) {
    const proved = await prove(def.name, worker.id, { release: NEW, restarts: worker.restarts, oldPid: 0, port: def.port, health: whole(Object.assign({}, health, { within_ms: Math.min(health.within_ms, 5000) }), def) });
    live.workers.push({ name: def.name, id: proved.id, pid: proved.pid, start: proved.start, restarts: proved.restarts, total: workers.length, index });
    tell(proved, index, workers.length, NEW, 'still answers');
  }
  writeJson('live.json', live);
}

// After a reboot PM2 brings back what it has saved: of the colours only the live one. An app of before blue-green is its
// owner's to end: a web server may still lead to it.
async function commitColour() {
  const name = JSON.parse(fs.readFileSync(path.join(DIR, 'service.json'), 'utf8')).service.name;
  leaveOut(colourOf(name, otherColour));
  const former = workersOf(await jlist(), name);
  if (former.length && former.every(isOurs)) note(`PM2's app ${quoted(name)}, of before blue-green, goes on: when nothing leads to it any more, pm2 delete ${quoted(name)} && pm2 save`);
}
