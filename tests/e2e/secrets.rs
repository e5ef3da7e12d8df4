//! Values that `secrets` names and values of env_file, in everything that a run prints, keeps and starts: several runs of
//! one app that does its worst to show them, while every command line of the machine is read as fast as it can be.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::support::process::{all, command_line};
use super::support::shipit::Output;
use super::support::{App, Bench, Make};

/// One is a part of another, one has several lines, one what a shell and JSON quote.
const TOKEN: &str = "correct-horse";
const LONGER: &str = "correct-horse-battery";
const LINES: &str = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nfirst-of-many-lines-of-it\n-----END KEY-----";
const QUOTED: &str = "sta\"ple$(x)'; \\ ü%41";
/// What only the host knows.
const PASSWORD: &str = "only-the-host-knows-this";

/// What must show nowhere. A part of each tells.
const PARTS: [&str; 6] = ["correct-horse", "-battery", "MIIEvQIBADAN", "first-of-many-lines", "sta\"ple", PASSWORD];

/// Reads every command line there is, again and again, and keeps those with one of the words.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    thread: Option<JoinHandle<usize>>,
}

/// Stands on the command lines of processes of the test's own, which live no longer than any other.
const CONTROL: &str = "seen-if-it-is-looked-for";

impl Watch {
    fn begin() -> Watch {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeSet<String>>>::default());
        let (stopping, found) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let own = std::process::id();
            let (mut known, mut rounds) = (HashMap::new(), 0);
            while !stopping.load(Ordering::Relaxed) {
                rounds += 1;
                let there: Vec<u32> = all();
                known.retain(|pid, _| there.contains(pid));
                for pid in there.into_iter().filter(|pid| *pid != own) {
                    // A command line changes where one process becomes another program, which is soon after its start.
                    let first: &mut Instant = known.entry(pid).or_insert_with(Instant::now);
                    if first.elapsed() > Duration::from_millis(500) && rounds % 100 != 0 {
                        continue;
                    }
                    let line = command_line(pid);
                    if PARTS.iter().chain([&CONTROL, &"driver.sh"]).any(|part| line.contains(part)) {
                        found.lock().unwrap().insert(line);
                    }
                }
            }
            rounds
        });
        Watch { stop, seen, thread: Some(thread) }
    }

    /// The command lines that held anything secret, once it is shown that one would have been seen.
    fn end(mut self) -> Vec<String> {
        for n in 0..400 {
            assert!(Command::new("true").arg(format!("{CONTROL}-{n}")).status().unwrap().success());
        }
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self.thread.take().unwrap().join().unwrap();
        let seen = self.seen.lock().unwrap();
        let controls = seen.iter().filter(|line| line.contains(CONTROL)).count();
        let drivers = seen.iter().filter(|line| line.contains("driver.sh")).count();
        println!("{rounds} rounds; {controls} of 400 controls, {drivers} command lines of drivers seen");
        assert!(controls >= 3, "it sees too little: {controls} in {rounds} rounds");
        assert!(drivers >= 2, "the runs' own processes are seen: {seen:?}");
        seen.iter().filter(|line| PARTS.iter().any(|part| line.contains(part))).cloned().collect()
    }
}

/// An app into which its build put the token, which prints all that it knows, and answers only who knows the token. Its
/// lines are long enough to be cut, and values stand where they are.
fn app(version: &str, ends: &str) -> App {
    let server = format!(
        "// {version}\nconst TOKEN = {TOKEN:?}, LONGER = {LONGER:?};\n\
         console.log('knows', LONGER, process.env.DATABASE_PASSWORD);\n\
         console.error('x'.repeat(386) + LONGER, 'y'.repeat(380) + process.env.DATABASE_PASSWORD);\n\
         for (let n = 375; n < 400; n += 4) console.error('z'.repeat(n) + LONGER);\n\
         process.stdout.write('in two: correct-'); setTimeout(() => process.stdout.write('horse-battery\\n'), 50);\n\
         {ends}\n\
         require('http').createServer((request, response) => {{\n\
           const known = request.headers.authorization === 'Bearer ' + TOKEN;\n\
           response.writeHead(known ? 200 : 401); response.end(known ? 'ok ' + LONGER : 'who? ' + LONGER);\n\
         }}).listen(process.env.PORT, '127.0.0.1');\n"
    );
    App::empty().file("server.js", server)
}

fn bench() -> Bench {
    let mut bench = Make::pm2(1).bench();
    let build = "echo $TOKEN; printf 'two reads: %s-' \"${LONGER%-*}\"; sleep 0.2; echo \"${LONGER##*-}\"; printf '%s\\n' \"$PEM\" \"$QUOTED\"; env";
    let hook = "env; echo $DATABASE_PASSWORD; printf 'two: %s' \"${DATABASE_PASSWORD%-this}\"; sleep 0.2; echo \"-this\"; echo $DATABASE_PASSWORD >&2";
    bench
        .config
        .set("secrets", ["TOKEN", "LONGER", "PEM", "QUOTED"].map(str::to_owned).to_vec())
        .set("build.command", build)
        .set("build.env.COPY", "${LONGER}")
        .set("shared.files", vec![".env".to_owned()])
        .set("service.pm2.env_file", ".env")
        .set("service.pm2.boot_test", false)
        .set("health.headers.Authorization", "Bearer ${TOKEN}")
        .set("health.assets", false)
        .set("health.soak", "0s")
        .set("hooks.before_switch", vec![hook.to_owned()])
        .set(
            "hooks.after_switch",
            vec![toml::Value::from(toml::Table::from_iter([
                ("run".to_owned(), toml::Value::from("env; printf '%s\\n' \"$PEM\" \"$QUOTED\"")),
                ("on".to_owned(), toml::Value::from("here")),
            ]))],
        );
    for (name, value) in [("TOKEN", TOKEN), ("LONGER", LONGER), ("PEM", LINES), ("QUOTED", QUOTED)] {
        bench.shipit = bench.shipit.env(name, value);
    }
    bench.share(".env", &format!("DATABASE_PASSWORD={PASSWORD}\n"));
    bench
}

#[track_caller]
fn shows_nothing(what: &str, text: &str) {
    for part in PARTS {
        let at = text.find(part);
        assert!(
            at.is_none(),
            "{what} shows {part:?}: {}",
            text[at.unwrap_or(0).saturating_sub(200)..].chars().take(400).collect::<String>()
        );
    }
    // What a cut leaves: three characters and more of a value at a line's end.
    for line in text.lines().filter(|line| line.contains('\u{2026}')) {
        for value in [LONGER, PASSWORD] {
            assert!(!line.contains(&format!("{}\u{2026}", &value[..6])), "{what}: {line}");
        }
    }
    assert!(!text.contains("pm2_env") && !text.contains("axm_"), "{what} shows PM2's list");
}

#[track_caller]
fn says_nothing(output: Output) -> Output {
    shows_nothing(&output.args.join(" "), &output.stdout);
    shows_nothing(&output.args.join(" "), &output.stderr);
    output
}

/// All that shipit itself has left on the host.
#[track_caller]
fn keeps_nothing(dir: &Path) {
    let mut files = 0;
    for entry in
        walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file())
    {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        shows_nothing(&entry.path().display().to_string(), &String::from_utf8_lossy(&bytes));
        files += 1;
    }
    assert!(files >= 3, "{} holds records and manifests", dir.display());
}

#[test]
fn a_secret_shows_nowhere() {
    let bench = bench();
    let state = bench.site().dir.join(".shipit");
    let watch = Watch::begin();
    let deploy = |app: &App, more: &[&str]| {
        bench.write(app);
        says_nothing(bench.shipit.run(&[&["deploy", "production"], more].concat()))
    };
    let first = deploy(&app("v1", ""), &["--json"]).expect(0).release();
    keeps_nothing(&state);
    let output = deploy(&app("v2", ""), &["-v"]).expect(0);
    // The lines themselves did arrive, and what is masked in them.
    output.says(&["two reads: ***", "two: ***", "COPY=***", "DATABASE_PASSWORD=***", "PEM=***"]);
    // A bad one: its log is shown, its end goes into record and history, and GitHub keeps a page.
    let (summary, outputs) = (bench.area.path().join("summary.md"), bench.area.path().join("outputs"));
    let ci = bench.shipit.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    let ci = ci.env("GITHUB_OUTPUT", outputs.to_str().unwrap());
    bench.write(&app(
        "v3",
        "setTimeout(() => { throw new Error('no ' + LONGER + process.env.DATABASE_PASSWORD); }, 400);",
    ));
    let output = ci.run(&["deploy", "production"]).expect(4).says(&["no ***"]);
    // The runner is told what to mask, by the only line that may.
    let told = |line: &&str| !line.starts_with("::add-mask::");
    shows_nothing("a job's log", &output.stderr.lines().filter(told).collect::<Vec<_>>().join("\n"));
    shows_nothing("a job's output", &output.stdout);
    shows_nothing("the summary", &fs::read_to_string(summary).unwrap());
    shows_nothing("the outputs", &fs::read_to_string(outputs).unwrap());
    keeps_nothing(&state);
    // What listings tell of it; and the release's own record lacks what its health check needs, so it is taken from today's.
    for verb in [
        &["releases"][..],
        &["releases", "--json"],
        &["status"],
        &["check"],
        &["check", "--json"],
        &["diff"],
        &["deploy", "-n"],
    ] {
        says_nothing(bench.shipit.run(verb));
    }
    says_nothing(bench.run("rollback", &["--json"])).expect(0);
    assert_eq!(bench.site().current(), Some(first));
    keeps_nothing(&state);
    let shown = watch.end();
    assert!(shown.is_empty(), "{shown:#?}");
    // A file that is shipped later holds digests of such settings.
    let file = bench.area.path().join("it.tar.zst");
    bench.write(&App::empty().file("server.js", "1"));
    says_nothing(bench.shipit.run(&["build", "production", "-o", file.to_str().unwrap()])).expect(0);
    let packed = Command::new("zstd").args(["-dcq", "--long=27"]).arg(&file).output().unwrap();
    assert!(packed.stdout.len() > 1000);
    shows_nothing("the file", &String::from_utf8_lossy(&packed.stdout));
}

#[test]
fn a_secret_goes_nowhere_else_than_into_builds_and_health_checks() {
    let mut bench = bench();
    bench.config.set("ssh.options", vec!["SetEnv=X=${TOKEN}".to_owned()]);
    bench.config.set("service.pm2.args", vec!["--token=${LONGER}".to_owned()]);
    bench.write(&app("v1", ""));
    let output = bench.run("deploy", &[]).expect(2).says(&["ssh.options", "service.pm2.args", "env_file"]);
    shows_nothing("the error", &output.stderr);
}
