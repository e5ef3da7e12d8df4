// One request, what is expected of its answer, an asset that a page names, and which process answered.
'use strict';

const MOST_BODY = 4 << 20;
const ELSEWHERE = 'another process answered';

// Where on this host to find what listens on `port`: the loopback where that is covered, else its own address.
// Remembered for a moment: on a busy host the kernel's list of sockets takes its time.
const listening = new Map();
function hostsFor(port) {
  const known = listening.get(port);
  if (known && clock() - known.at < 3000) return known.hosts;
  const hosts = listeners(port).map(socket => address(socket.local.host));
  const wild = !hosts.length || hosts.some(host => /^[0.:]+$/.test(host));
  const found = Array.from(new Set((wild ? ['127.0.0.1', '::1'] : []).concat(hosts.filter(host => !/^[0.:]+$/.test(host)))));
  if (hosts.length) listening.set(port, { at: clock(), hosts: found });
  return found;
}

function connectTo(host, port, ms) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    const timer = setTimeout(() => socket.destroy(new Error(`no connection to ${host}:${port} within ${ms} ms`)), ms);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      socket.on('error', () => {});
      resolve(socket);
    });
    socket.once('error', error => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

async function connect(port, ms) {
  let last;
  for (const host of hostsFor(port)) {
    try {
      return await connectTo(host, port, ms);
    } catch (error) {
      last = error;
    }
  }
  throw new Failure(last.code === 'ECONNREFUSED' ? `nothing listens on port ${port}` : last.message);
}

function request(socket, where, headers, ms) {
  return new Promise((resolve, reject) => {
    let timer;
    const fail = error => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Failure(`${where}: ${error.message}`));
    };
    // Whose end was heard already tells nobody again: such a call would never come to an end.
    if (socket.destroyed) return fail(new Error('the connection was closed without an answer'));
    timer = setTimeout(() => fail(new Error(`no answer within ${ms} ms`)), ms);
    const host = socket.remoteFamily === 'IPv6' ? `[${socket.remoteAddress}]` : socket.remoteAddress;
    const call = http.request({
      createConnection: () => socket,
      path: where,
      headers: Object.assign({ Host: `${host}:${socket.remotePort}`, Connection: 'close', 'User-Agent': 'shipit' }, headers),
    });
    socket.once('close', () => fail(new Error('the connection was closed without an answer')));
    call.on('error', fail);
    call.on('response', answer => {
      const parts = [];
      let size = 0;
      answer.on('error', fail);
      answer.on('aborted', () => fail(new Error('the answer was cut off')));
      answer.on('data', chunk => {
        size += chunk.length;
        if (size <= MOST_BODY) parts.push(chunk);
      });
      answer.on('end', () => {
        clearTimeout(timer);
        resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString('utf8') });
      });
    });
    call.end();
    return undefined;
  });
}

const short = text => plain(JSON.stringify(text)).slice(0, 160);

// What is wrong with an answer; none when all that is expected holds.
function faultOf(answer, expect) {
  if (answer.status !== expect.status) return `status ${answer.status} instead of ${expect.status}: ${short(answer.body.slice(0, 160))}`;
  if (expect.body && !answer.body.includes(expect.body)) return `the body lacks ${short(expect.body)}: ${short(answer.body.slice(0, 160))}`;
  const fields = Object.keys(expect.json || {});
  if (!fields.length) return null;
  let json;
  try {
    json = JSON.parse(answer.body);
  } catch (error) {
    return `the body is not JSON: ${short(answer.body.slice(0, 160))}`;
  }
  for (const field of fields) {
    const value = field.split('.').reduce((at, key) => (at === null || at === undefined ? undefined : at[key]), json);
    if (canonical(value) !== canonical(expect.json[field])) {
      return `${field} is ${short(value === undefined ? null : value)} instead of ${short(expect.json[field])}`;
    }
  }
  return null;
}

function canonical(value) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  return `{${Object.keys(value).sort().map(key => JSON.stringify(key) + ':' + canonical(value[key]))}}`;
}

// Which of `workers` ([{pid, ids}]) holds the server's end of this connection: its pid, 0 for none of them, null
// where that can't be seen. Asked before the request is sent, so that an app that closes at once is seen as well.
async function ownerOf(socket, port, workers) {
  const until = clock() + 400;
  for (;;) {
    const inode = serverEnd(port, socket.localPort);
    const answers = inode ? workers.map(worker => worker.ids.map(id => holds(id, inode))) : [];
    const index = answers.findIndex(list => list.includes(true));
    if (index >= 0) return workers[index].pid;
    if (answers.some(list => list.includes(null))) return null;
    if (clock() > until) return inode ? 0 : null;
    await sleep(15);
  }
}

// One fresh connection: {owner, fault}. With `only`, a connection that another worker got is dropped unused.
async function ask(port, health, workers = [], only = 0) {
  let socket;
  let owner = null;
  try {
    socket = await connect(port, health.timeout_ms);
    if (workers.length) owner = await ownerOf(socket, port, workers);
    if (only && owner !== null && owner !== only) return { owner, fault: ELSEWHERE };
    if (!health.path) return { owner, fault: null };
    const answer = await request(socket, health.path, health.headers, health.timeout_ms);
    const fault = faultOf(answer, health.expect);
    return { owner, answer, fault: fault && `${health.path}: ${fault}` };
  } catch (error) {
    return { owner, fault: error.message };
  } finally {
    if (socket) socket.destroy();
  }
}

async function get(port, health, where) {
  const socket = await connect(port, health.timeout_ms);
  try {
    return await request(socket, where, health.headers, health.timeout_ms);
  } finally {
    socket.destroy();
  }
}

// A style or script of our own that this page names, as a path; none when it names none.
function assetIn(page, where) {
  if (!/html/.test(page.headers['content-type'] || '')) return null;
  const names = page.body.match(/(?:src|href)\s*=\s*["'][^"']+\.(?:js|mjs|css)(?:\?[^"']*)?["']/gi) || [];
  for (const name of names) {
    const url = new URL(name.replace(/^[^"']*["']|["']$/g, '').replace(/&amp;/g, '&'), `http://shipit.invalid${where}`);
    if (url.hostname === 'shipit.invalid') return url.pathname + url.search;
  }
  return null;
}

// Fetches one asset that the health page or `/` names. Throws when it isn't there; answers its path, or none.
async function checkAsset(port, health, answer) {
  let asset = answer ? assetIn(answer, health.path) : null;
  for (let where = '/', turns = 0; !asset && turns < 3; turns++) {
    const page = await get(port, health, where);
    const next = page.status >= 300 && page.status < 400 && new URL(page.headers.location || '/', `http://shipit.invalid${where}`);
    if (!next) {
      asset = page.status === 200 ? assetIn(page, where) : null;
      break;
    }
    if (next.hostname !== 'shipit.invalid') break;
    where = next.pathname + next.search;
  }
  if (!asset) return null;
  const found = await get(port, health, asset);
  if (found.status !== 200) throw new Failure(`the page names ${asset}, which answers ${found.status}`);
  return asset;
}
