//! The bench is itself tested: an sshd that nobody can enter, a proxy that never freezes or a judge that
//! accepts everything would make every other test here worthless.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::support::account::Account;
use super::support::asks::ask;
use super::support::front::{Front, Kind};
use super::support::ports;
use super::support::process::{Signal, alive, eventually, signal};
use super::support::proxy::{Proxy, Way};
use super::support::{APP, App, Bench, Make, tree};

fn ssh(bench: &Bench, n: usize, remote: &str) -> Command {
    let host = &bench.hosts[n];
    let area = bench.area.path();
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-p", &host.ssh_port().to_string()]);
    command.arg("-i").arg(area.join("id"));
    command.arg("-o").arg(format!("UserKnownHostsFile={}", area.join("known_hosts").display()));
    command.arg(format!("{}@127.0.0.1", host.account.name)).arg(remote).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_private_sshd_lets_the_account_in() {
    let bench = Make::files().env("WORD=two words").umask("027").bench();
    let output = ssh(&bench, 0, "id -un; umask; echo \"$WORD\"").output().unwrap();
    assert_eq!(said(&output), "shipit-a\n0027\ntwo words");
}

#[test]
fn machines_apart_have_the_same_path_and_port_and_other_files() {
    let bench = Make::files().hosts(2).without("tar").bench();
    assert_eq!(bench.hosts[0].site.path, bench.hosts[1].site.path);
    for (n, host) in bench.hosts.iter().enumerate() {
        let remote = format!("cd {} && echo {} > here; command -v tar || :", host.site.path.display(), host.name);
        assert_eq!(said(&ssh(&bench, n, &remote).output().unwrap()), "", "there is no tar");
        assert_eq!(fs::read_to_string(host.site.dir.join("here")).unwrap().trim(), host.name);
    }
}

#[test]
fn a_proxy_freezes_thaws_cuts_and_counts() {
    let bench = Make::files().proxied().bench();
    let proxy = bench.host().proxy();
    let mut child = ssh(&bench, 0, "echo first; read line; echo second")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 6];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");

    proxy.freeze();
    // A chunk may have been on its way out at that moment.
    std::thread::sleep(Duration::from_millis(200));
    let before = (proxy.crossed(Way::Up), proxy.crossed(Way::Down));
    drop(child.stdin.take());
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        (rest, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!reader.is_finished(), "nothing may cross a frozen proxy");
    assert_eq!(before, (proxy.crossed(Way::Up), proxy.crossed(Way::Down)));
    let thawed = Instant::now();
    proxy.thaw();
    let (rest, at) = reader.join().unwrap();
    assert_eq!(rest, "second\n");
    assert!(at > thawed);
    assert!(child.wait().unwrap().success());

    let mut child =
        ssh(&bench, 0, "echo first; sleep 60").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    proxy.cut();
    assert_eq!(child.wait().unwrap().code(), Some(255), "ssh says that its connection broke");
}

#[test]
fn a_proxy_counts_turns_and_not_words() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap().port());
    proxy.delay(Duration::from_millis(100));
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut heard = [0; 2];
    for turn in 1..=3 {
        // The second word leaves while the first is under way: still one turn.
        client.write_all(b"a").unwrap();
        server.read_exact(&mut heard[..1]).unwrap();
        server.write_all(b"A").unwrap();
        client.write_all(b"b").unwrap();
        server.read_exact(&mut heard[..1]).unwrap();
        server.write_all(b"B").unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!((&heard, proxy.turns()), (b"AB", turn));
    }
}

#[test]
fn a_pm2_of_ones_own_is_seen_and_ended() {
    for make in [Make::pm2(1), Make::pm2(1).hosts(2)] {
        a_pm2_is_seen_and_ended(make.bench());
    }
}

fn a_pm2_is_seen_and_ended(bench: Bench) {
    let host = bench.host();
    App::server("v1").write(&host.site.dir.join("releases/20260321-140000-k3f9"));
    let release = host.site.path.join("releases/20260321-140000-k3f9");
    let pm2 = host.pm2.as_ref().unwrap();
    assert_eq!(pm2.daemon(), None);
    assert!(pm2.workers(APP).is_empty() && pm2.daemon().is_none(), "looking starts nothing");

    let start = format!(
        "cd / && PORT={} pm2 -s start server.js --name {APP} -i 1 --cwd {} && echo $PM2_HOME",
        host.port,
        release.display()
    );
    assert!(said(&ssh(&bench, 0, &start).output().unwrap()).ends_with("host-a/pm2"));
    let workers = pm2.workers(APP);
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert_eq!(workers[0].status, "online");
    assert_eq!(workers[0].release.as_deref(), Some("20260321-140000-k3f9"));
    let end = Instant::now() + Duration::from_secs(5);
    while host.get("/health").0 != 200 {
        assert!(Instant::now() < end, "the tiny server answers");
    }

    let (daemon, worker) = (pm2.daemon().unwrap(), workers[0].pid);
    drop(bench);
    let end = Instant::now() + Duration::from_secs(5);
    while alive(daemon) || alive(worker) {
        assert!(Instant::now() < end, "a bench leaves nothing running");
    }
}

#[test]
fn the_judge_of_a_tree_finds_every_kind_of_damage() {
    let area = super::support::area::Area::new();
    let (base, id) = (area.path(), "20260321-140000-k3f9");
    let root = base.join("releases").join(id);
    let write = || {
        App::empty().file("a b\n\\c", "content").program("run", "x").link("l", "run").write(&root);
        fs::create_dir_all(base.join(".shipit/manifests")).unwrap();
        // printf content | sha256sum
        let content = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        let x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let lines = format!("f 0644 7 {content} a b\\0012\\\\c\nl - - - l\trun\nf 0755 1 {x} run\n");
        fs::write(base.join(".shipit/manifests").join(id), lines).unwrap();
        assert_eq!(tree::verify(base, id, &[]), Ok(()));
    };
    let damages: [(&str, &dyn Fn()); 6] = [
        ("sha256", &|| fs::write(root.join("a b\n\\c"), "CONTENT").unwrap()),
        ("size", &|| fs::write(root.join("run"), "xx").unwrap()),
        ("mode", &|| drop(Command::new("chmod").arg("700").arg(root.join("run")).status())),
        ("is missing", &|| fs::remove_file(root.join("run")).unwrap()),
        ("in no manifest", &|| fs::write(root.join("more"), "").unwrap()),
        ("link", &|| {
            fs::remove_file(root.join("l")).unwrap();
            std::os::unix::fs::symlink("elsewhere", root.join("l")).unwrap();
        }),
    ];
    for (word, damage) in damages {
        write();
        damage();
        let verdict = tree::verify(base, id, &[]).expect_err(word);
        assert!(verdict.contains(word), "{word}: {verdict}");
    }
}

#[test]
fn a_front_leads_where_it_is_told_and_says_what_went_wrong() {
    let area = super::support::area::Area::new();
    for kind in [Kind::Nginx, Kind::Caddy] {
        let front = Front::start(kind, &area.path().join(format!("{kind:?}")), &Account::named("shipit-a"));
        front.lead_to(ports::free());
        eventually("it leads to nobody", Duration::from_secs(20), || match ask(front.port) {
            Err(text) if text.starts_with("HTTP/1.1 502") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(front.said().contains("Connection refused"), kind == Kind::Nginx, "{}", front.said());
    }
}

#[test]
fn signals_go_to_one_process() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    assert!(signal(child.id(), Signal::Term));
    assert!(!child.wait().unwrap().success());
    assert!(!alive(child.id()));
}
