// Lets a worker of PM2 end without losing a request. Loaded before the app (`node --require`), in each worker. Does
// nothing until the worker is told to stop; then:
//
// 1. It takes no new connections. It stays for a moment all the same: the primary may have handed it one already, and
//    only a worker that lives can refuse it, so that another gets it (nodejs/node#3551).
// 2. Open connections go on. Each answer on them says `Connection: close`, so that the client's next request goes to
//    another worker. Idle ones are closed only after a while: a request may be on its way.
// 3. When no connection is left, or a little before PM2 would kill it, the app's own handlers of the signal run; where
//    it has none, it ends.
//
// Changes no answer before it is told to stop, and never prints. Connections of HTTPS and of other protocols are waited
// for as long as there is time.
'use strict';

const http = require('http');
const net = require('net');

// How long a connection may be on its way from the primary, in milliseconds.
const HANDED = 500;
// How long a client's request may be on its way on a connection that looks idle.
const IDLE = 2000;
// PM2 hands its settings to a worker in a variable; it kills so long after the signal.
const LIMIT = Math.max(killTimeout() - 400, HANDED);
const SIGNALS = ['SIGINT', 'SIGTERM'];

const servers = new Set();
// For each open connection, what it is busy with, and since when with nothing. One that is not HTTP's is always busy.
const open = new Map();
// What the app wants to do itself when it is told to stop.
const own = { SIGINT: [], SIGTERM: [] };
let told = '';
let toldAt = 0;
let emptyAt = 0;
let watch = null;

function killTimeout() {
  try {
    return Number(JSON.parse(process.env.pm2_env).kill_timeout) || 1600;
  } catch (error) {
    return Number(process.env.kill_timeout) || 1600;
  }
}

function patch(object, name, make) {
  object[name] = make(object[name]);
}

function end() {
  if (!watch) return;
  const handlers = own[told].splice(0);
  clearInterval(watch);
  watch = null;
  if (!handlers.length) process.exit(0);
  handlers.forEach(handler => handler.call(process, told));
}

// Which connections may be closed by now, and whether that was all.
function look() {
  const now = Date.now();
  open.forEach(({ work, since }, socket) => work.size || now - Math.max(since, toldAt) < IDLE || socket.end());
  if (open.size) emptyAt = 0;
  else emptyAt = emptyAt || now;
  if (now - toldAt > LIMIT || (emptyAt && now - emptyAt > HANDED)) end();
}

function drain(signal) {
  if (told) return;
  told = signal;
  toldAt = Date.now();
  // Not an HTTP server's own close: it would end idle connections at once.
  servers.forEach(server => net.Server.prototype.close.call(server));
  open.forEach(({ work }) => work.forEach(answer => Object.assign(answer, { shouldKeepAlive: false })));
  // What has arrived is read before anything is judged idle.
  watch = setInterval(() => setImmediate(look), 50);
}

SIGNALS.forEach(signal => process.on(signal, () => drain(signal)));

// A handler of the app would end it at once; it gets its turn when there is nothing to lose any more.
['on', 'addListener', 'once', 'prependListener', 'prependOnceListener'].forEach(name => patch(process, name, add => function (event, handler) {
  if (!own[event]) return add.apply(this, arguments);
  own[event].push(handler);
  return this;
}));
['off', 'removeListener'].forEach(name => patch(process, name, remove => function (event, handler) {
  if (!own[event]) return remove.apply(this, arguments);
  own[event] = own[event].filter(one => one !== handler);
  return this;
}));

patch(net.Server.prototype, 'listen', listen => function () {
  if (!servers.has(this)) {
    servers.add(this);
    this.on('connection', socket => {
      open.set(socket, { work: new Set(this instanceof http.Server ? [] : [socket]), since: Date.now() });
      socket.once('close', () => open.delete(socket));
    });
  }
  return listen.apply(this, arguments);
});

// A listener of ours would come after the app's.
patch(http.Server.prototype, 'emit', emit => function (event, request, answer) {
  const one = request && open.get(request.socket);
  if (one && (event === 'request' || event === 'checkContinue')) {
    one.work.add(answer);
    if (told) answer.shouldKeepAlive = false;
    answer.once('close', () => {
      one.work.delete(answer);
      one.since = Date.now();
    });
  } else if (one && (event === 'upgrade' || event === 'connect')) {
    one.work.add(request.socket);
  }
  return emit.apply(this, arguments);
});
