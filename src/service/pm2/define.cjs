// From the settings, or the project's own ecosystem file, to definitions that PM2 can start and that stay right
// over every later switch: absolute paths, all of them through BASE/current. Starts and changes nothing.
'use strict';

const RELEASE = path.join(BASE, 'releases', NEW || 'none');

// Names that are PM2's own once they are in an app's environment: it mixes both into one object.
const RESERVED = /^(PM2_.*|SHIPIT_.*|pm_.*|name|args|node_args|env|status|instances|exec_mode|exec_interpreter|restart_time|unstable_restarts|created_at|namespace|watch|autorestart|autostart|merge_logs|kill_timeout|listen_timeout|wait_ready|username|windowsHide|treekill|vizion|vizion_running|pmx|automation|instance_var|unique_id|km_link|axm_.*|exit_code|node_version|version|current_conf|cwd|script)$/;

// A path inside the release (by whatever name) as a path through `current`; none for any other.
function throughCurrent(file) {
  for (const root of [RELEASE, path.join(REAL_BASE, 'releases', NEW || 'none'), CURRENT, LIVE, path.join(REAL_BASE, 'current'), path.join(REAL_BASE, path.relative(BASE, CURRENT))]) {
    if (inside(file, root)) return path.join(CURRENT, file.slice(root.length));
  }
  return null;
}

// The same file in the candidate, before `current` names it.
const inCandidate = text => String(text).split(CURRENT + '/').join(RELEASE + '/').replace(new RegExp(`${CURRENT.replace(/[^\w/]/g, '\\$&')}$`), RELEASE);

// dotenv: KEY=value, `export`, three kinds of quotes over several lines, `#`; nothing is expanded.
function parseEnvFile(text) {
  const env = {};
  const entry = /^[^\S\n]*(?:export[^\S\n]+)?([A-Za-z_][\w.-]*)[^\S\n]*=[^\S\n]*(?:"((?:\\[^]|[^"\\])*)"|'([^']*)'|`([^`]*)`|([^\n]*))/gm;
  const escapes = { n: '\n', r: '\r', t: '\t' };
  const source = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  for (let found = entry.exec(source); found; found = entry.exec(source)) {
    const [, key, double, single, tick, bare] = found;
    if (double !== undefined) env[key] = double.replace(/\\([nrt"\\$])/g, (all, c) => escapes[c] || c);
    else if (bare !== undefined) env[key] = bare.replace(/#.*/, '').trim();
    else env[key] = single !== undefined ? single : tick;
  }
  return env;
}

function envFile(service, appDir) {
  if (!service.env_file) return {};
  const name = service.env_file.replace(/^\/+/, '');
  const places = [path.join(BASE, 'shared', name), path.join(BASE, 'shared', appDir, name)];
  const file = places.find(place => fs.existsSync(place));
  if (!file) throw new Failure(`env_file ${service.env_file}: ${places[0]} does not exist`);
  try {
    return parseEnvFile(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Failure(`env_file ${file} can't be read (${error.code})`);
  }
}

function textEnv(env, from) {
  const result = {};
  Object.keys(env || {}).forEach(key => {
    const value = env[key];
    if (value === null || value === undefined) return;
    if (RESERVED.test(key)) throw new Failure(`${from}: the variable ${key} would change PM2's own settings of the app: rename or remove it`);
    result[key] = typeof value === 'object' ? JSON.stringify(value) : String(value);
  });
  return result;
}

// PM2 splits these at blanks outside of quotes when they are one text.
const words = value => (Array.isArray(value) ? value.map(String) : (String(value || '').match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) || []).map(w => w.replace(/^(["'])(.*)\1$/, '$2')));

// Paths among node's options are resolved by the PM2 daemon against its own directory, so they are made absolute.
function nodeArgs(list, home) {
  const takesPath = /^(-r|--require|--import|--loader|--experimental-loader|--env-file|--env-file-if-exists)$/;
  const fix = value => (/^\.\.?\//.test(value) || inside(value, REAL_BASE) || inside(value, BASE) ? throughCurrent(path.resolve(home, value)) || value : value);
  const bad = list.find(word => word.startsWith('--preserve-symlinks'));
  if (bad) throw new Failure(`node_args has ${bad}: it mixes two releases in one process. Remove it, it isn't needed`);
  return list.map((word, i) => {
    const pair = /^(--[\w-]+)=([^]*)$/.exec(word);
    if (pair && takesPath.test(pair[1])) return `${pair[1]}=${fix(pair[2])}`;
    return i && takesPath.test(list[i - 1]) ? fix(word) : word;
  });
}

// Where the preload lies that lets a worker end without losing a request, and how long it needs at the least.
const DRAIN = path.join(BASE, '.shipit', 'drain.cjs');
const DRAIN_MS = 3000;

// Where one worker replaces another, the old one drains; not one that is told to end by a message.
const drains = (service, app) => service.drain && app.exec_mode === 'cluster' && !app.shutdown_with_message;

// node's options for an app.
const nodeOptions = (service, app) => (drains(service, app) ? ['--require', DRAIN] : []).concat(words(app.node_args));

// How long PM2 lets a worker end: an ecosystem file that was written for plain reloads may leave it no time to drain.
const killTimeout = (service, app) => (drains(service, app) && app.kill_timeout < DRAIN_MS ? DRAIN_MS : app.kill_timeout);

function onPath(name) {
  return (CLEAN.PATH || '').split(':').filter(Boolean).map(folder => path.join(folder, name)).find(file => {
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return fs.statSync(file).isFile();
    } catch (error) {
      return false;
    }
  });
}

// Checks one app and makes its paths absolute. `app` is as an ecosystem file has it; `home` is the app directory
// of the candidate, `top` what a leading slash in `script` means.
function complete(app, { service, home, env, port, health, top }) {
  const name = app.name;
  const is = `app ${JSON.stringify(name)}`;
  if (app.watch) throw new Failure(`${is} has watch: true: PM2 would restart it in the middle of a deploy. Remove it`);
  const cwd = throughCurrent(path.resolve(home, app.cwd || '.'));
  if (!cwd) throw new Failure(`${is}: its cwd ${app.cwd} is outside the release`);
  if (!app.script) throw new Failure(`${is} has no script`);
  const asked = String(app.script);
  const wanted = top && asked.startsWith('/') ? path.join(RELEASE, asked) : path.resolve(inCandidate(cwd), asked);
  let script = throughCurrent(wanted);
  let args = words(app.args);
  let command = false;
  if (script && fs.existsSync(inCandidate(script))) {
    if (!fs.statSync(inCandidate(script)).isFile()) throw new Failure(`${is}: its script ${asked} is not a file`);
  } else if (!top && / /.test(asked)) {
    [script, args, command] = [onPath('bash') ? 'bash' : 'sh', ['-c', asked], true];
  } else if (!asked.includes('/') && onPath(asked)) {
    [script, command] = [asked, true];
  } else {
    throw new Failure(script ? `${is}: its script ${asked} is not in the release` : `${is}: its script ${asked} is outside the release`);
  }
  const runner = /^(next|npm|npx|yarn|pnpm|bun)$/.test(path.basename(asked.split(' ')[0])) || command;
  if (runner && app.exec_mode === 'cluster') {
    throw new Failure(`${is}: \`${[asked].concat(args).join(' ').slice(0, 60)}\` can't run in PM2's cluster mode. Use the server file itself (Next.js: output: 'standalone', script = "server.js"), or mode = "fork"`);
  }
  const merged = Object.assign({}, env, port && env.PORT === undefined ? { PORT: String(port) } : {});
  if (/--preserve-symlinks/.test(merged.NODE_OPTIONS || '')) nodeArgs(['--preserve-symlinks'], home);
  const result = Object.assign({}, app, { name, cwd, args, node_args: nodeArgs(nodeOptions(service, app), home), kill_timeout: killTimeout(service, app), env: merged });
  delete result.script;
  // PM2 runs a `script` that has a blank in it by `bash -c`; under its other name, `exec`, it takes it as it is.
  result.exec = script;
  const anchor = value => (typeof value === 'string' && value.startsWith('/') && throughCurrent(value)) || value;
  result.args = args.map(anchor);
  Object.keys(result).forEach(key => {
    if (result[key] === undefined || result[key] === null) delete result[key];
    else if (key !== 'env' && key !== 'name') result[key] = anchor(result[key]);
  });
  return { name, command, port: Number(merged.PORT) || null, asks: health, app: result };
}

function fromSettings({ service, appDir, health }) {
  const home = path.join(RELEASE, appDir);
  const env = Object.assign({}, service.preset_env, textEnv(envFile(service, appDir), 'env_file'), textEnv(service.env, 'env'));
  if (service.port) env.PORT = String(service.port);
  const app = {
    name: service.name,
    script: service.script,
    exec_mode: service.mode,
    instances: service.instances === null || service.instances === undefined ? 'max' : service.instances,
    args: service.args,
    node_args: service.node_args,
    max_memory_restart: service.max_memory,
    kill_timeout: service.kill_timeout_ms,
    listen_timeout: service.listen_timeout_ms,
  };
  return [complete(app, { service, home, env, port: service.port, health: health.path, top: true })];
}

// Runs in a node of its own: a project's file may print, throw or exit.
const READER = `const fs=require('fs'),file=process.argv[1];(async()=>{let v;if(/\\.json$/.test(file))v=require('vm').runInThisContext('('+fs.readFileSync(file,'utf8')+')');
else{try{v=require(file)}catch(e){if(e.code!=='ERR_REQUIRE_ESM'&&!/Unexpected token 'export'|Cannot use import|module is not defined/.test(e.message))throw e;v=await import(require('url').pathToFileURL(file).href)}
if(v&&v.default)v=v.default}fs.writeFileSync(3,JSON.stringify(v));process.exit(0)})().catch(e=>{console.error(e&&e.message||e);process.exit(1)})`;

async function readEcosystem(file, home, env) {
  if (!/\.(json|js|cjs|mjs)$/.test(file)) throw new Failure(`ecosystem ${path.basename(file)}: only .json, .js, .cjs and .mjs can be read`);
  if (!fs.existsSync(file)) throw new Failure(`ecosystem: ${path.relative(RELEASE, file)} is not in the release (add it to build.include)`);
  const told = path.join(DIR, 'ecosystem.json');
  const handle = fs.openSync(told, 'w', 0o600);
  try {
    const result = await run(process.execPath, ['-e', READER, file], { cwd: home, env: Object.assign({}, env, CLEAN), ms: 15000, third: handle });
    const text = fs.readFileSync(told, 'utf8');
    if (result.code !== 0 || !text) {
      const reason = result.late ? 'it did not end within 15 s' : result.err.trim().split('\n').pop();
      throw new Failure(`ecosystem ${path.basename(file)} can't be read: ${reason || 'it exports nothing'}`);
    }
    return JSON.parse(text);
  } finally {
    fs.closeSync(handle);
    fs.unlinkSync(told);
  }
}

async function fromEcosystem({ service, appDir, health }) {
  const home = path.join(RELEASE, appDir);
  const file = service.ecosystem.startsWith('/') ? path.join(RELEASE, service.ecosystem) : path.join(home, service.ecosystem);
  const base = textEnv(envFile(service, appDir), 'env_file');
  const own = textEnv(service.env, 'env');
  const value = await readEcosystem(file, home, Object.assign({}, base, own));
  const all = [].concat((value && (value.apps || value.pm2)) || value || []).filter(app => app && typeof app === 'object');
  const stage = service.ecosystem_env;
  const named = all.map(app => Object.assign({}, app, { name: nameOf(app, stage) }));
  const twice = named.find((app, i) => named.findIndex(other => other.name === app.name) !== i);
  if (twice) throw new Failure(`ecosystem: two apps are called ${JSON.stringify(twice.name)}`);
  const only = service.only || [];
  const missing = only.find(name => !named.some(app => app.name === name));
  if (missing !== undefined) throw new Failure(`ecosystem: no app is called ${JSON.stringify(missing)} (there are: ${named.map(app => app.name).join(', ')})`);
  const chosen = named.filter(app => !only.length || only.includes(app.name));
  if (!chosen.length) throw new Failure('ecosystem: it names no app');
  if (stage && !chosen.some(app => app[`env_${stage}`])) throw new Failure(`ecosystem: no app has env_${stage}`);
  return chosen.map(app => {
    const env = Object.assign({}, base, textEnv(app.env, `env of ${app.name}`), textEnv(stage && app[`env_${stage}`], `env_${stage}`));
    if (app.port) env.PORT = String(app.port);
    Object.assign(env, own);
    const port = chosen.length === 1 ? service.port : null;
    const made = complete(canonicalKeys(app, service), { service, home, env, port, health: null, top: false });
    // The health path is asked of the app on the configured port; of the others with a port, that they listen.
    if (made.port && (!service.port || made.port === service.port)) made.asks = health.path;
    return made;
  });
}

function nameOf(app, stage) {
  const script = String(app.script || app.exec || app.cmd || app.command || '');
  const name = String(app.name || path.basename(script).replace(/(.)\.[^.]*$/, '$1'));
  return app.append_env_to_name && stage ? `${name}-${stage}` : name;
}

// One name for each thing that PM2 knows under several, and its defaults written out.
function canonicalKeys(app, service) {
  const result = {};
  Object.keys(app).forEach(key => {
    if (!/^env(_|$)/.test(key)) result[key.replace(/[A-Z]/g, c => '_' + c.toLowerCase())] = app[key];
  });
  const take = (to, ...names) => names.forEach(name => {
    if (name !== to && result[name] !== undefined) {
      if (result[to] === undefined) result[to] = result[name];
      delete result[name];
    }
  });
  take('script', 'exec', 'cmd', 'command');
  take('node_args', 'interpreter_args');
  take('interpreter', 'exec_interpreter');
  delete result.append_env_to_name;
  delete result.port;
  const node = !result.interpreter || /node$/.test(result.interpreter);
  if (result.instances !== undefined && result.instances !== 'max') result.instances = parseInt(result.instances, 10) || 0;
  const many = result.instances === 'max' || result.instances === 0 || result.instances === -1 || result.instances >= 1;
  result.exec_mode = result.exec_mode ? String(result.exec_mode).replace(/_mode$/, '') : many && node ? 'cluster' : 'fork';
  if (result.instances === undefined) result.instances = 1;
  if (result.kill_timeout === undefined) result.kill_timeout = service.kill_timeout_ms;
  if (result.listen_timeout === undefined) result.listen_timeout = service.listen_timeout_ms;
  return result;
}

async function definitions(all) {
  return all.service.ecosystem ? fromEcosystem(all) : fromSettings(all);
}

function wantedInstances(app) {
  const cores = os.cpus().length;
  const n = app.instances === 'max' ? 0 : Number(app.instances);
  return n > 0 ? n : Math.max(1, cores + n);
}
