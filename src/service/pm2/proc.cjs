// What the kernel says: which release a process works in, since when it lives, whose end of a connection is
// whose. Only reads /proc; where it may not look, it says so instead of guessing.
'use strict';

function realpath(file) {
  try {
    return fs.realpathSync(file);
  } catch (error) {
    return file;
  }
}
const REAL_BASE = realpath(BASE);
const LIVE = path.join(BASE, 'current');
// What PM2 starts the app through.
const CURRENT = COLOUR ? path.join(BASE, 'colours', COLOUR) : LIVE;

const inside = (file, folder) => file === folder || file.startsWith(folder + '/');

function idOfCurrent() {
  try {
    const match = /^releases\/([^/]+)\/?$/.exec(fs.readlinkSync(LIVE));
    return match ? match[1] : '';
  } catch (error) {
    return '';
  }
}

// Where a process works: {release, gone} or {elsewhere: path} or {hidden: why}.
function placeOf(pid) {
  let cwd;
  try {
    cwd = fs.readlinkSync(`/proc/${pid}/cwd`);
  } catch (error) {
    if (error.code === 'ENOENT' && fs.existsSync('/proc/self/cwd')) return { hidden: 'it has ended', ended: true };
    return { hidden: error.code === 'ENOENT' ? 'this host has no /proc' : `/proc/${pid}/cwd may not be read (${error.code})` };
  }
  const gone = cwd.endsWith(' (deleted)');
  if (gone) cwd = cwd.slice(0, -' (deleted)'.length);
  const releases = path.join(REAL_BASE, 'releases') + '/';
  if (!cwd.startsWith(releases)) {
    // A release on its way out was renamed into the trash under its own name.
    return inside(cwd, path.join(REAL_BASE, '.shipit', 'trash')) ? { release: path.basename(cwd), gone: true } : { elsewhere: cwd };
  }
  const [release, ...below] = cwd.slice(releases.length).split('/');
  return { release, gone, depth: below.length };
}

// The release that a process works in by that release's own marker, looked at through the process: empty where there
// is none. `place` is the process's, and in a release.
function markerOf(pid, place) {
  try {
    return String(readJson(`/proc/${pid}/cwd/${'../'.repeat(place.depth)}.release.json`).id);
  } catch (error) {
    return '';
  }
}

// State, parent and start time (field 22) of a process; none when it does not exist or is a zombie.
function statOf(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : { parent: Number(fields[1]), start: fields[19] };
  } catch (error) {
    return null;
  }
}
const startOf = pid => (statOf(pid) || {}).start || null;

function pids() {
  try {
    return fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number);
  } catch (error) {
    return [];
  }
}

// `pid` and everything that descends from it: with `npm start` the one that answers is a grandchild.
function family(pid) {
  const parents = new Map(pids().map(id => [id, (statOf(id) || {}).parent]));
  const found = [pid];
  for (let i = 0; i < found.length && found.length < 200; i++) {
    parents.forEach((parent, id) => {
      if (parent === found[i] && !found.includes(id)) found.push(id);
    });
  }
  return found;
}

// Whether `pid` holds the socket `inode`: true, false, or null where its descriptors may not be read.
function holds(pid, inode) {
  let names;
  try {
    names = fs.readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return error.code === 'ENOENT' ? false : null;
  }
  return names.some(name => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${name}`) === `socket:[${inode}]`;
    } catch (error) {
      return false;
    }
  });
}

// All TCP sockets of this network namespace; none where /proc/net can't be read.
function sockets() {
  const found = [];
  ['tcp', 'tcp6'].forEach(file => {
    let text = '';
    try {
      text = fs.readFileSync(`/proc/net/${file}`, 'utf8');
    } catch (error) {}
    text.split('\n').slice(1).forEach(line => {
      // Closed ones that only wait (06): a busy host has tens of thousands, and nobody holds them.
      if (/^ *\d+: \S+ \S+ 06 /.test(line)) return;
      const f = line.trim().split(/\s+/);
      if (f.length < 10) return;
      const end = word => ({ host: word.slice(0, -5), port: parseInt(word.slice(-4), 16) });
      found.push({ local: end(f[1]), remote: end(f[2]), state: f[3], uid: Number(f[7]), inode: f[9] });
    });
  });
  return found;
}
const listeners = port => sockets().filter(socket => socket.state === '0A' && socket.local.port === port);

// /proc prints addresses as 32-bit words in the machine's own byte order.
function address(hex) {
  const bytes = Buffer.from(hex, 'hex');
  if (os.endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return Array.from(bytes).join('.');
  const text = bytes.toString('hex').replace(/(....)(?!$)/g, '$1:');
  return text.startsWith('0000:0000:0000:0000:0000:ffff:') ? Array.from(bytes.slice(12)).join('.') : text;
}

// The server's end of the connection whose client's end is `clientPort`.
function serverEnd(port, clientPort) {
  const socket = sockets().find(s => s.local.port === port && s.remote.port === clientPort && s.inode !== '0');
  return socket ? socket.inode : null;
}

function commandOf(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+/g, ' ').trim().slice(0, 80);
  } catch (error) {
    return '';
  }
}

// Who listens on `port`: [{pid, command, uid}], pid null where that may not be read.
function holdersOf(port) {
  const all = listeners(port);
  if (!all.length) return [];
  const processes = pids();
  return all.map(socket => {
    const pid = processes.find(id => holds(id, socket.inode) === true) || null;
    return { pid, uid: socket.uid, command: pid ? commandOf(pid) : '' };
  });
}
