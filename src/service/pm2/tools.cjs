// Which node and which pm2 this run uses, which others there are, and whose node PM2's daemon runs on. Changes nothing.
'use strict';

// Further nodes of this host, each once. A shim leads to a program of another name: it may be this very node.
function otherNodes() {
  const mine = realpath(process.execPath);
  const found = new Map();
  (given.SHIPIT_NODES || '').split(':').filter(Boolean).forEach(folder => {
    const file = path.join(folder, 'node');
    const real = realpath(file);
    if (real !== mine && path.basename(real) === 'node' && !found.has(real)) found.set(real, file);
  });
  return Array.from(found.values());
}

// The program that PM2's daemon is: in cluster mode each worker is that, too. None where no daemon lives.
function daemonProgram() {
  try {
    const pid = daemonPid();
    return pid ? fs.readlinkSync(`/proc/${pid}/exe`) : null;
  } catch (error) {
    return null;
  }
}

async function tools({ loud }) {
  const { version, execPath } = process;
  fact('node', version);
  fact('node_file', execPath);
  const found = findPm2();
  if (found) {
    fact('pm2', found.version || 'unknown');
    fact('pm2_file', found.file);
  } else refuse(`there is no pm2 on PATH (${CLEAN.PATH}), nor in ${given.SHIPIT_LOOKED || 'other places'}`, `npm install -g pm2 with ${execPath}; or name its directory: path = ["..."] in [ssh] of deploy.toml`);
  const others = otherNodes();
  if (loud && others.length) note(`node ${version} of ${path.dirname(execPath)} is used; there is also ${others.slice(0, 3).join(', ')}${others.length > 3 ? ' ...' : ''} (path in [ssh] of deploy.toml chooses)`);
  const daemon = daemonProgram();
  if (!daemon || realpath(daemon) === realpath(execPath)) return;
  const gone = daemon.endsWith(' (deleted)');
  const its = gone ? 'one that was removed or replaced since' : (await run(daemon, ['--version'], { ms: 5000 })).out.trim() || 'of an unknown version';
  if (its !== version) fact('warn', `PM2's daemon runs on another node (${its}, ${daemon.replace(/ \(deleted\)$/, '')}) than was found (${version}, ${execPath}): workers in cluster mode run on the daemon's until pm2 update starts it anew, with a gap`);
}
