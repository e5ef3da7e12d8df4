//! Readers who never stop, while releases come and go: `current` is always there, what is read through one look at it is of
//! one release, and releases are met in the order in which they were live. By plain opens, and through a web server.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Shell, quiet, tell};
use crate::support::apps::App;
use crate::support::process::eventually;
use crate::support::site::Live;

super::in_every_shell! {
    current_is_never_missing_and_never_mixed
}

/// Switches in each shell; 200 in all of them.
const SWITCHES: usize = 68;

const FILES: usize = 6;

/// All files of a release say which one it is, over and over.
fn app(version: usize) -> App {
    let text = format!("{version:06}\n").repeat(500);
    (0..FILES).fold(App::empty(), |app, n| app.file(format!("f{n}.txt"), text.clone()))
}

/// Which release a text is of, if it is of one alone.
fn version(text: &str) -> Result<usize, String> {
    let first = text.lines().next().ok_or("it is empty")?;
    if text.len() != 3500 || text.lines().any(|line| line != first) {
        return Err(format!("{} bytes, mixed or cut: {first}", text.len()));
    }
    first.parse().map_err(|_| format!("{first:?} is no version"))
}

/// What a reader saw: how often it read, and the releases in their order.
struct Seen {
    reads: usize,
    order: Vec<usize>,
}

type Reader = JoinHandle<Result<Seen, String>>;

/// Reads with `look` until it is over; each look gives the versions that it met, one after the other.
fn reader(over: &Arc<AtomicBool>, mut look: impl FnMut() -> Result<Vec<usize>, String> + Send + 'static) -> Reader {
    let over = over.clone();
    std::thread::spawn(move || {
        let mut seen = Seen { reads: 0, order: Vec::new() };
        while !over.load(Ordering::Relaxed) {
            let met = look().map_err(|why| format!("after {} reads: {why}", seen.reads))?;
            seen.reads += met.len();
            seen.order.extend(met);
            seen.order.dedup();
            // Whoever deploys needs the processor, too.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(seen)
    })
}

/// All files below one look at `current`: they are of one release.
fn by_one_look(current: &Path) -> Result<Vec<usize>, String> {
    let missing = |error: io::Error| format!("current: {error}");
    let text = fs::read_link(current).map_err(missing)?;
    if !text.starts_with("releases") {
        return Err(format!("it leads to {text:?}"));
    }
    let dir = File::open(current).map_err(missing)?;
    let below = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    let mut met = Vec::new();
    for n in 0..FILES {
        let text = fs::read_to_string(below.join(format!("f{n}.txt"))).map_err(|error| format!("f{n}.txt: {error}"))?;
        met.push(version(&text)?);
    }
    if met.iter().any(|one| *one != met[0]) { Err(format!("one look, several releases: {met:?}")) } else { Ok(met) }
}

/// Each file by its own walk through `current`: there may be a switch between two, but never back and forth.
fn by_walks(current: &Path) -> Result<Vec<usize>, String> {
    let read = |n: usize| {
        let file = current.join(format!("f{n}.txt"));
        version(&fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    (0..FILES).map(read).collect()
}

fn fetched(port: u16, n: usize) -> Result<Vec<usize>, String> {
    let told = |error: io::Error| format!("the web server: {error}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
    write!(stream, "GET /current/f{}.txt HTTP/1.0\r\n\r\n", n % FILES).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(vec![version(body)?]),
        _ => Err(answer),
    }
}

/// A web server of the home.
fn web_server(home: &Path) -> (Child, u16) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut server = quiet(Shell::Busybox.program().to_str().unwrap());
    server.args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"]).arg(home);
    let child = server.spawn().unwrap();
    eventually("the web server answers", Duration::from_secs(20), || fetched(port, 0).map(drop));
    (child, port)
}

/// Whether `seen` is what one meets who looks now and then while `truth` goes by.
fn in_order(seen: &[usize], truth: &[usize]) -> bool {
    let mut rest = truth.iter();
    seen.iter().all(|one| rest.any(|live| live == one))
}

fn current_is_never_missing_and_never_mixed(bench: &mut Bench) {
    let began = Instant::now();
    let current = bench.site.dir.join("current");
    bench.config.set("release.keep", 3);
    let mut id = bench.release(&app(0));
    let (mut server, port) = web_server(&bench.site.dir);
    let over = Arc::new(AtomicBool::new(false));
    let mut turn = 0;
    let (one, walks) = (current.clone(), current.clone());
    let readers = [
        reader(&over, move || by_one_look(&one)),
        reader(&over, move || by_walks(&walks)),
        reader(&over, move || {
            turn += 1;
            std::thread::sleep(Duration::from_millis(2));
            fetched(port, turn)
        }),
    ];
    let mut truth = vec![0];
    for n in 1..=SWITCHES {
        // Two forward, one back.
        let output = if n % 3 == 0 { bench.run("rollback", &["--json"]) } else { bench.deploy(&app(n), &[]) };
        id = output.expect(0).release();
        let text = fs::read_to_string(current.join("f0.txt")).unwrap();
        truth.push(version(&text).unwrap());
        if let Some(dead) = readers.iter().position(JoinHandle::is_finished) {
            eprintln!("reader {dead} is over at switch {n}");
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    let seen: Vec<Seen> = readers.into_iter().map(|reader| reader.join().unwrap().unwrap()).collect();
    server.kill().unwrap();
    server.wait().unwrap();
    for (n, one) in seen.iter().enumerate() {
        assert!(in_order(&one.order, &truth), "reader {n} met {:?}\nwhere {truth:?} went by", one.order);
        assert!(one.order.len() > 1, "reader {n} saw the switches");
    }
    bench.site.assert_invariant(&Live::New(id));
    let [one, walks, web] = [0, 1, 2].map(|n| seen[n].reads);
    let line = format!(
        "{:?}: {SWITCHES} switches, {one} files read by one look, {walks} by walks, {web} fetched, {:.1} s",
        bench.shell,
        began.elapsed().as_secs_f64()
    );
    tell(&line);
}
