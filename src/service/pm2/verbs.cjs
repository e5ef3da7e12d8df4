// The driver's verbs and its end: exit 0 done, 1 failed (with a `why`), 2 stopped because T/stop exists.
'use strict';

async function facts() {
  fact('arch', process.arch);
  fact('cores', os.cpus().length);
  await tools({ loud: true });
}

// How many workers the session's time limits reckon with; 0: any number.
function reckoned() {
  try {
    return Number(fs.readFileSync(path.join(DIR, 'limits'), 'utf8').trim().split(' ')[2]) || 0;
  } catch (error) {
    return 0;
  }
}

function writeDrain() {
  try {
    if (fs.readFileSync(DRAIN, 'utf8') === DRAIN_TEXT) return;
  } catch (error) {}
  writeHere(DRAIN, DRAIN_TEXT);
}

// For whoever reads it meanwhile: the one or the other.
function writeHere(file, text) {
  const part = path.join(DIR, 'part');
  fs.writeFileSync(part, text, { mode: 0o644 });
  fs.renameSync(part, file);
}

// Before PM2 gets to know them: what a deploy that is taken back brought is gone with the next one.
function writeNames(defs) {
  const had = variablesHad();
  const names = new Set(had.concat(...defs.map(def => Object.keys(def.app.env))));
  if (names.size > had.length) writeHere(VARIABLES, Array.from(names, name => `${name}\n`).join(''));
}

// What those who ask notice of each deploy.
function gapOf({ name, app }) {
  if (app.exec_mode !== 'cluster') return `${name}: nothing answers while it restarts, in fork mode; cluster mode with drain has no gap, with one worker as with many`;
  return app.node_args.includes(DRAIN) ? '' : `${name}: without drain a reload cuts connections in use`;
}

// The release lies in its place: definitions for PM2, checked against the release and against what runs.
async function prepare() {
  const all = settings();
  if (COLOUR && all.service.ecosystem) throw new Failure(`the release's apps come from ${all.service.ecosystem}: these can't be run blue-green`);
  const defs = await definitions(all);
  const list = workersOf(await jlist());
  const total = defs.reduce((sum, def) => sum + wantedInstances(def.app), 0);
  if (reckoned() && total > reckoned()) {
    throw new Failure(`the settings ask for ${count(total, 'worker')}, the time limits reckon with ${reckoned()}: name fewer apps in service.pm2.only, or give them fewer instances`);
  }
  if (all.earlier && all.service.port && !COLOUR) {
    const stop = (what, cure) => { throw new Failure(`${what}: ${cure}`); };
    checkPort(all.service.port, defs.map(def => def.name), list, defs.some(def => def.app.exec_mode === 'cluster'), stop);
  }
  for (const def of defs) {
    const workers = list.filter(worker => worker.name === def.name);
    if (!workers.length || COLOUR) continue;
    const [first] = obstacles(def, workers);
    if (first) throw new Failure(`${first.what}: ${first.cure}`);
    if (all.service.ecosystem || all.earlier) warnings(def, workers).forEach(note);
    unreached(def, workers).forEach(note);
  }
  // The plan says it of what stands in deploy.toml.
  if (all.service.ecosystem) defs.filter(def => def.port).map(gapOf).filter(Boolean).forEach(note);
  writeNames(defs);
  if (defs.some(def => def.app.node_args.includes(DRAIN))) writeDrain();
  writeJson('apps.json', defs);
  note(defs.map(def => `${def.name}: ${def.app.exec_mode}, ${count(wantedInstances(def.app), 'worker')}${def.port ? `, port ${def.port}` : ''}`).join('; '));
}

async function save() {
  const result = await pm2(['save', '--silent'], { ms: 20000 });
  if (result.code !== 0) note(`pm2 save failed (${result.late ? 'no end within 20 s' : `exit ${result.code}`}): after a reboot PM2 brings back what it saved before`);
}

async function commit() {
  await save();
  if (COLOUR) await commitColour();
}

// Those that are asked for by name, or, asked for without a name, all that work in the app's home.
function chosen(list, arg) {
  const asked = arg ? JSON.parse(arg).names : null;
  if (asked && !asked.length) return list.filter(isOurs);
  const named = asked && COLOUR ? asked.map(name => colourOf(name)) : asked;
  const names = named || (readOr('apps.json', null) ? readOr('apps.json').map(def => def.name) : [settings().service.name]);
  return list.filter(worker => names.includes(worker.name));
}

async function status(arg) {
  await tools({ loud: false });
  tellWorkers(chosen(workersOf(await jlist()), arg));
}

function tellWorkers(workers) {
  const release = NEW || idOfCurrent();
  workers.forEach(worker => {
    const place = worker.pid ? placeOf(worker.pid) : { hidden: 'it has no process' };
    const ours = place.release === release && !place.gone;
    const proof = IDLE ? 'idle' : place.release ? (ours ? 'proved' : 'contradicted') : `not provable: ${place.hidden || `it works in ${place.elsewhere}`}`;
    const told = {
      name: worker.name, pm_id: worker.id, pid: worker.pid, status: worker.status, release: place.release || null,
      restarts: worker.restarts, pinned: pinnedTo([worker]) && shownPath(pinnedTo([worker])), mode: worker.fork ? 'fork' : 'cluster', uptime_ms: worker.pid ? Math.max(0, Date.now() - worker.since) : 0, proof,
    };
    say('worker', JSON.stringify(told));
  });
}

async function log(arg) {
  let files = [].concat(...chosen(workersOf(await jlist()), arg).map(w => w.logs.map((file, i) => [i ? 'err' : 'out', file])));
  if (!files.length) files = [].concat(...readOr('baseline.json', { apps: [] }).apps.filter(a => a.exists).map(a => [['out', a.app.out_file], ['err', a.app.error_file]]));
  const seen = new Set();
  files.filter(([, file]) => file && !seen.has(file) && seen.add(file)).forEach(([kind, file]) => tail(file, 20).forEach(line => logLine(`${kind}: ${line}`)));
}

async function main(verb, arg) {
  const verbs = { facts, baseline, prepare, boot, health, activate, watch, revert, save, commit, status, survey, log, free, stop: stopColour, resume };
  if (!Object.prototype.hasOwnProperty.call(verbs, verb || '')) throw new Failure(`the PM2 driver has no verb ${verb}`);
  process.chdir(HERE);
  try {
    const all = settings();
    hide(envFile(all.service, all.appDir));
  } catch (error) {
    // Who needs the settings or the file says what is wrong with it.
  }
  await verbs[verb](arg);
}

// A call that is never answered leaves nothing to wait for, and node would end as if all were well.
process.on('beforeExit', () => {
  why('the PM2 driver came to no result');
  process.exit(1);
});

// Neither process.stdout nor stderr is ever touched: node would make the pipes non-blocking, and lines get lost.
main(process.argv[2], process.argv[3]).then(
  () => process.exit(0),
  error => {
    if (error instanceof Stopped) process.exit(2);
    (error.lines || []).forEach(logLine);
    why(error.message || String(error));
    if (!(error instanceof Failure)) trace(error.stack);
    process.exit(1);
  },
);
