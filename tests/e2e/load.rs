//! Fifty machines from one client that may open few files: what it takes, and that no machine gives up because its client
//! had too much to do. A ping that comes late is silence, and silence takes back; here `rollout.silence` is short, the build
//! takes longer than that, and so does the upload to some.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::process::{all, command_line, eventually, most_memory};
use super::support::proxy::Proxy;
use super::support::shipit::{Event, Running};
use super::support::{App, Live, Make, STAGE};

const HOSTS: usize = 50;
const SILENCE: Duration = Duration::from_secs(6);
/// Hosts behind a slow link: the upload to each takes longer than that.
const SLOW: usize = 3;
const UPLOAD: usize = 2 << 20;
const BYTES_PER_SECOND: u64 = 300_000;
/// In KB: of shipit itself, and of each connection's ssh.
const MOST: u64 = 100_000;
const MOST_EACH: u64 = 20_000;
/// Open files for each host.
const MOST_FILES: usize = 12;

/// What a run took, as the kernel counts it.
#[derive(Debug, Default)]
struct Taken {
    /// KB.
    memory: u64,
    files: usize,
    /// Connections at once, and the most memory that one had, in KB.
    connections: usize,
    each: u64,
}

impl Taken {
    /// A look at what it takes now. Its connections are known by the directory that they have their sockets in.
    fn look(&mut self, run: &Running, sockets: &Path) {
        self.memory = most_memory(run.pid()).unwrap_or(self.memory);
        self.files = self.files.max(fs::read_dir(format!("/proc/{}/fd", run.pid())).map_or(0, Iterator::count));
        // The short-lived ones that ask a connection to end are none.
        let ours = |pid: &u32| {
            let line = command_line(*pid);
            line.contains(&*sockets.to_string_lossy()) && !line.contains(" -O ")
        };
        let masters: Vec<u32> = all().into_iter().filter(|pid| *pid != run.pid() && ours(pid)).collect();
        self.connections = self.connections.max(masters.len());
        self.each = masters.into_iter().filter_map(most_memory).max().unwrap_or(0).max(self.each);
    }
}

#[test]
fn fifty_hosts_take_little_and_none_is_left_without_a_word() {
    let mut bench = Make::files().hosts(HOSTS).bench();
    let slow: Vec<Proxy> = bench.hosts[..SLOW].iter().map(|host| Proxy::start(host.sshd.port)).collect();
    let known: String = bench.hosts.iter().map(|host| host.sshd.known_host(host.ssh_port())).collect();
    let behind: String = bench.hosts.iter().zip(&slow).map(|(host, slow)| host.sshd.known_host(slow.port)).collect();
    fs::write(bench.area.path().join("known_hosts"), known + &behind).unwrap();
    let mut addresses: Vec<toml::Table> = bench.hosts.iter().map(|host| host.address()).collect();
    for (address, slow) in addresses.iter_mut().zip(&slow) {
        slow.limit(BYTES_PER_SECOND);
        address.insert("address".into(), format!("shipit-a@127.0.0.1:{}", slow.port).into());
    }
    let go = bench.area.path().join("go");
    let sockets = bench.area.dir("sockets");
    bench
        .config
        .set(&format!("stages.{STAGE}.hosts"), addresses)
        .set("build.command", format!("while [ ! -e '{}' ]; do sleep 0.1; done", go.display()))
        .set("rollout.silence", format!("{}s", SILENCE.as_secs()));
    let few = ["sh", "-c", "ulimit -Sn 256; exec \"$@\"", "few"];
    bench.shipit = bench.shipit.env("XDG_RUNTIME_DIR", &sockets.to_string_lossy()).by(&few);

    let began = Instant::now();
    let mut run = bench.start(&App::site("v1").ballast(UPLOAD), &[]);
    let connected = |event: &Event| event.is("step_finished", "connect");
    run.wait_for_nth(HOSTS, connected).unwrap_or_else(|| panic!("{}", run.so_far()));
    let stood = began.elapsed();
    // The build is longer than any machine waits for a word: here the time itself is what is looked at.
    std::thread::sleep(2 * SILENCE);
    fs::write(&go, "").unwrap();
    let (built, mut taken) = (Instant::now(), Taken::default());
    while !run.is_over() {
        taken.look(&run, &sockets);
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "{HOSTS} hosts: connected in {stood:.1?}, from the build's end to the last {:.1?}; {taken:?}",
        built.elapsed()
    );
    let id = run.finish().expect(0).release();
    for host in &bench.hosts {
        host.site.assert_invariant(&Live::New(id.clone()));
    }
    assert!(taken.memory < MOST && taken.each < MOST_EACH && taken.files < MOST_FILES * HOSTS, "{taken:?}");
    assert_eq!(taken.connections, HOSTS, "one for each host");
    eventually("no connection is left", Duration::from_secs(10), || match fs::read_dir(&sockets).unwrap().count() {
        0 => Ok(()),
        left => Err(format!("{left} directories of sockets")),
    });
}
