// What `check` is told of PM2: all that a baseline finds and refuses, and what matters after a reboot. Only reads, and
// never starts a daemon.
'use strict';

function daemonVersion() {
  const title = /PM2 v(\S+): God Daemon/.exec(commandOf(daemonPid()));
  return title ? title[1] : 'unknown';
}

// What `pm2 startup` writes, by the names it gives.
function bootUnit() {
  const name = `pm2-${given.USER || os.userInfo().username}`;
  const files = [`/etc/systemd/system/${name}.service`, '/etc/systemd/system/pm2.service', `/etc/init.d/${name}`, `/etc/init/${name}.conf`];
  return files.find(file => fs.existsSync(file)) || null;
}

// The apps that PM2 would bring back after a reboot.
function dumped() {
  try {
    return readJson(path.join(HOME, 'dump.pm2')).map(app => app.name);
  } catch (error) {
    return [];
  }
}

function tellPort(port, names, list) {
  const holders = holdersOf(port);
  const crew = [].concat(...list.filter(w => names.includes(w.name) && w.pid).map(w => family(w.pid)));
  // In cluster mode PM2's daemon holds the port of its workers.
  const ours = ({ pid, command }) => pid && (crew.includes(pid) || (crew.length > 0 && /God Daemon/.test(command)));
  if (!holders.length) fact('port', 'free');
  else if (holders.every(ours)) fact('port', 'ours');
  else if (holders.every(holder => !holder.pid)) fact('port', 'unseen');
}

async function survey(arg) {
  await facts();
  const seen = await present();
  const { all, daemon, list, apps } = seen;
  tellPresent(seen);
  fact('daemon', daemon ? daemonVersion() : 'none');
  fact('pm2_home', HOME);
  const names = apps.map(app => app.name);
  if (all.service.port) tellPort(all.service.port, names, list);
  const unit = bootUnit();
  if (unit) fact('boot_unit', unit);
  if (names.some(name => dumped().includes(name))) fact('boot_dump', 'yes');
  tellWorkers(chosen(list, arg));
}
