// What the PM2 driver says, what it was given, and how it starts other programs.
//
// The driver is one program made of these files, in this order: protocol, proc, http, define, workers, tools,
// baseline, boot, moved, activate, revert, colours, survey, verbs. They share one scope; only this file requires modules. It runs on the host's
// own node (14 or newer), needs nothing installed, and never shows what PM2 knows about an app: that holds secrets.
'use strict';
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const http = require('http');
const childProcess = require('child_process');

const given = process.env;
const BASE = given.SHIPIT_BASE || process.cwd();
const DIR = given.SHIPIT_DIR || BASE;
const NEW = given.SHIPIT_NEW || '';
const OLD = given.SHIPIT_OLD || '';
const MARK = given.SHIPIT_MARK || '';
// With a proxy there are two of the app, each with its own link and port; this call is about one of them.
const COLOUR = given.SHIPIT_COLOUR || '';
const COLOUR_PORT = Number(given.SHIPIT_PORT) || null;
const IDLE = Boolean(given.SHIPIT_IDLE);
const HOME = given.PM2_HOME || path.join(given.HOME || os.homedir(), '.pm2');

// Where programs stand: before the first deploy there is no home.
const HERE = (() => {
  try {
    fs.accessSync(BASE, fs.constants.X_OK);
    return BASE;
  } catch (error) {
    return '/';
  }
})();

// What a program started here sees, apart from what its app defines. PM2 copies all of it into the app, and a
// daemon born of such a call hands it on to every app it ever forks.
const CLEAN = {};
['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG'].forEach(key => {
  if (given[key] !== undefined) CLEAN[key] = given[key];
});

// A reason to stop, told as `why`.
class Failure extends Error {}
// T/stop exists: the session wants no further worker touched.
class Stopped extends Error {}

// Values of env_file: they stay on this host, whatever prints them. A worker's line is for programs.
let hidden = [];
function hide(env) {
  const lines = [].concat(...Object.keys(env).map(key => [env[key]].concat(env[key].split('\n'))));
  // The longest first, so that one inside another leaves no tail.
  hidden = Array.from(new Set(lines)).filter(line => line.trim().length >= 8).sort((a, b) => b.length - a.length);
}

const masked = text => hidden.reduce((rest, value) => rest.split(value).join('***'), String(text));

function plain(text) {
  return String(text)
    .replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '')
    .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]/g, '')
    .replace(/\n+/g, ' ');
}

// A reader that went away or a full disk must not end a revert half way: write errors are nobody's concern here.
function say(kind, text) {
  const line = `${MARK}${kind} ${plain(kind === 'worker' ? text : masked(text))}`.trimEnd().slice(0, 999);
  try {
    fs.writeSync(1, line + '\n');
  } catch (error) {}
}
const note = text => say('note', text);
const why = text => say('why', text);
const fact = (key, value) => say('fact', `${key} ${value}`);
const refuse = (what, cure) => say('refuse', `${plain(what).replace(/\t/g, ' ')}\t${plain(cure).replace(/\t/g, ' ')}`);
const logLine = text => say('log', plain(text).replace(/\t/g, '  '));

function trace(text) {
  try {
    fs.writeSync(2, plain(masked(text)).slice(0, 2000) + '\n');
  } catch (error) {}
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const clock = () => Number(process.hrtime.bigint() / 1000000n);
const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

function stopIfAsked() {
  if (fs.existsSync(path.join(DIR, 'stop'))) throw new Stopped();
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

// Files in T hold an app's environment: for the owner's eyes, and whole or not there.
function writeJson(name, value) {
  const file = path.join(DIR, name);
  fs.writeFileSync(`${file}.part`, JSON.stringify(value), { mode: 0o600 });
  fs.renameSync(`${file}.part`, file);
  return file;
}

const colourOf = (name, colour = COLOUR) => `${name}-${colour}`;

// Where there is no session's directory, they came with the program.
function settings() {
  const all = globalThis.SHIPIT_SETTINGS || readJson(path.join(DIR, 'service.json'));
  const health = Object.assign({ path: null, headers: {}, timeout_ms: 5000, interval_ms: 500, within_ms: 30000 }, all.health);
  health.expect = Object.assign({ status: 200, body: null, json: {} }, health.expect);
  const service = COLOUR ? Object.assign({}, all.service, { name: colourOf(all.service.name), port: COLOUR_PORT }) : all.service;
  return { service, appDir: all.app_dir || '', health, earlier: Boolean(all.earlier) };
}

// Runs a program to its end, at most `ms` long. It gets no stdin and a session of its own, so that neither the
// end of the ssh channel nor a signal to our group reaches it (or the daemon it may start) half way through.
// `third` is its descriptor 3: an open file, or a text for it to read that no command line or environment shows.
function run(program, args, { env = CLEAN, ms = 20000, cwd = HERE, cap = 1 << 20, third } = {}) {
  return new Promise(resolve => {
    const stdio = ['ignore', 'pipe', 'pipe'].concat(third === undefined ? [] : [typeof third === 'string' ? 'pipe' : third]);
    const child = childProcess.spawn(program, args, { cwd, env, stdio, detached: true });
    const result = { code: null, out: '', err: '', late: false, error: null };
    const parts = { out: [], err: [] };
    const sizes = { out: 0, err: 0 };
    let ended = false;
    const drain = (name, stream) => {
      stream.on('error', () => {});
      stream.on('data', chunk => {
        sizes[name] += chunk.length;
        if (sizes[name] <= cap) parts[name].push(chunk);
      });
    };
    const end = () => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      result.out = Buffer.concat(parts.out).toString('utf8');
      result.err = Buffer.concat(parts.err).toString('utf8');
      result.cut = sizes.out > cap;
      [child.stdout, child.stderr].forEach(stream => stream && stream.destroy());
      resolve(result);
    };
    const timer = setTimeout(() => {
      result.late = true;
      killGroup(child.pid, 'SIGKILL');
      setTimeout(end, 1000);
    }, ms);
    child.on('error', error => {
      result.error = error;
      end();
    });
    child.on('exit', code => {
      result.code = code;
      // A grandchild may keep the pipes open for ever; what the program itself wrote is there within moments.
      setTimeout(end, 2000).unref();
    });
    child.on('close', end);
    if (child.stdout) drain('out', child.stdout);
    if (child.stderr) drain('err', child.stderr);
    if (typeof third === 'string' && child.stdio && child.stdio[3]) {
      child.stdio[3].on('error', () => {});
      child.stdio[3].end(third);
    }
  });
}

function killGroup(pid, signal) {
  try {
    if (pid > 1) process.kill(-pid, signal);
  } catch (error) {}
}

// The last `lines` lines of what was written to `file` after byte `from`.
function tail(file, lines, from = 0) {
  const most = 32 * 1024;
  let handle;
  try {
    handle = fs.openSync(file, 'r');
    const size = fs.fstatSync(handle).size;
    const start = Math.max(size < from ? 0 : from, size - most);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    const got = fs.readSync(handle, buffer, 0, buffer.length, start);
    const all = buffer.toString('utf8', 0, got).split('\n');
    // Where the reading begins in a line, half a value may stand there.
    if (got === most) all.shift();
    return all.filter(line => line.trim()).slice(-lines);
  } catch (error) {
    return [];
  } finally {
    if (handle !== undefined) fs.closeSync(handle);
  }
}
