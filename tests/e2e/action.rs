//! The GitHub Action, its steps run as a runner runs them: the scripts of `action.yml` in bash files, inputs as
//! variables, the runner's folders, `if: always()`, and a cancel as signals to the step's own process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::support::process::{Signal, eventually, signal};
use super::support::{App, Bench, Live, Make};

#[derive(Deserialize)]
struct Action {
    inputs: BTreeMap<String, Input>,
    outputs: BTreeMap<String, serde_yaml_ng::Value>,
    runs: Runs,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    default: String,
}

#[derive(Deserialize)]
struct Runs {
    using: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Step {
    name: String,
    #[serde(rename = "if")]
    condition: Option<String>,
    shell: String,
    run: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    working_directory: Option<String>,
}

/// A job on a runner that uses the action once.
struct Job {
    action: Action,
    project: PathBuf,
    temp: PathBuf,
    path: String,
    server: String,
    inputs: BTreeMap<&'static str, String>,
}

/// How a job's steps ended: the first code that is not 0, and all that was printed.
struct Ended {
    code: Option<i32>,
    said: String,
}

impl Job {
    fn new(project: &Path, temp: PathBuf) -> Job {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let action = serde_yaml_ng::from_str(&fs::read_to_string(root.join("action.yml")).unwrap()).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_shipit")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let server = "http://127.0.0.1:9".into();
        Job { action, project: project.to_owned(), temp, path, server, inputs: BTreeMap::new() }
    }

    fn input(mut self, name: &'static str, value: impl Into<String>) -> Job {
        assert!(self.action.inputs.contains_key(name), "{name} is no input");
        self.inputs.insert(name, value.into());
        self
    }

    /// A value of the action's file with its expressions replaced.
    fn resolved(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").unwrap();
            out += before;
            out += &match expression.trim().split_once('.').unwrap() {
                ("inputs", name) => {
                    let input = self.action.inputs.get(name).unwrap_or_else(|| panic!("{name} is no input"));
                    self.inputs.get(name).unwrap_or(&input.default).clone()
                }
                ("github", "action_repository") => String::new(),
                other => panic!("{other:?}"),
            };
            rest = after;
        }
        out + rest
    }

    /// Runs all steps; `meanwhile` gets the process of each that is named "Run shipit".
    fn run(&self, meanwhile: impl Fn(u32)) -> Ended {
        let (mut code, mut said) = (Some(0), String::new());
        for step in &self.action.runs.steps {
            if code != Some(0) && step.condition.as_deref() != Some("always()") {
                continue;
            }
            assert_eq!(step.shell, "bash");
            let script = self.temp.join("step.sh");
            fs::write(&script, &step.run).unwrap();
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script);
            command.env_clear().envs([
                ("PATH", &*self.path),
                ("HOME", "/nowhere"),
                ("LANG", "C.UTF-8"),
                ("CI", "true"),
            ]);
            command.env("GITHUB_ACTIONS", "true").env("GITHUB_ACTION_PATH", env!("CARGO_MANIFEST_DIR"));
            command.env("GITHUB_SERVER_URL", &self.server).env("RUNNER_TEMP", &self.temp);
            for file in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH"] {
                command.env(file, self.temp.join(file));
            }
            command.envs(step.env.iter().map(|(name, value)| (name, self.resolved(value))));
            let folder = step.working_directory.as_ref().map(|folder| self.resolved(folder));
            command.current_dir(self.project.join(folder.unwrap_or_default()));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            if step.name == "Run shipit" {
                meanwhile(child.id());
            }
            let output = child.wait_with_output().unwrap();
            said += &String::from_utf8_lossy(&output.stdout);
            said += &String::from_utf8_lossy(&output.stderr);
            if code == Some(0) {
                code = output.status.code();
            }
        }
        assert!(!self.temp.join("shipit-action/key").exists(), "the key is left behind\n{said}");
        Ended { code, said }
    }
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32, words: &[&str]) -> Ended {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "{word:?} is not said:\n{}", self.said);
        }
        self
    }
}

/// A bench whose config names neither key nor host keys, and a job with both as inputs.
fn job(bench: &mut Bench) -> Job {
    bench.config.unset("ssh.identity_file").unset("ssh.known_hosts");
    let read = |name: &str| fs::read_to_string(bench.area.path().join(name)).unwrap();
    let temp = bench.area.dir("runner");
    // A key as it comes out of a form in a browser.
    let key = read("id").trim_end().replace('\n', "\r\n");
    Job::new(&bench.project, temp).input("ssh-key", key).input("known-hosts", read("known_hosts"))
}

#[test]
fn the_action_deploys_with_a_key_that_only_ssh_sees() {
    let mut bench = Make::files().bench();
    let job = job(&mut bench).input("stage", "production").input("command", "deploy --yes");
    assert_eq!(job.action.runs.using, "composite");
    assert_eq!(job.action.outputs.len(), 3);
    let look = "env >seen-env; stat -c %a \"$RUNNER_TEMP/shipit-action/key\" >seen-mode";
    bench.config.set("build.command", look);
    bench.write(&App::site("v1"));
    job.run(|_| {}).expect(0, &["live"]);
    let live = bench.site().current().unwrap();
    bench.site().assert_invariant(&Live::New(live));
    let seen = |name: &str| fs::read_to_string(bench.project.join(name)).unwrap();
    assert_eq!(seen("seen-mode"), "600\n");
    assert!(!seen("seen-env").contains("PRIVATE KEY"), "the build needs no key");

    bench.config.set("build.command", "exit 3");
    bench.write_config();
    job.run(|_| {}).expect(1, &["the build failed"]);
    let job = job.input("command", "rollback").input("release", "no-release");
    job.run(|_| {}).expect(2, &["no-release"]);
    let job = job.input("command", "deploy");
    job.run(|_| {}).expect(2, &["::error", "release is given"]);
}

#[test]
fn a_cancelled_job_reaches_shipit_and_leaves_no_key() {
    let mut bench = Make::files().bench();
    let old = bench.release(&App::site("v1"));
    let job = job(&mut bench);
    let began = bench.project.join("began");
    bench.config.set("build.command", "mkfifo -m 600 never 2>/dev/null; : >began; read -r line <never");
    bench.write(&App::site("v2"));
    for which in [Signal::Int, Signal::Term] {
        let _ = fs::remove_file(&began);
        let ended = job.run(|pid| {
            eventually("the build runs", Duration::from_secs(60), || {
                began.exists().then_some(()).ok_or("not yet".into())
            });
            assert!(signal(pid, which));
        });
        ended.expect(130, &["cancelled"]);
        bench.site().assert_invariant(&Live::Old(old.clone()));
    }
}

#[test]
fn without_host_keys_only_this_machine_is_deployed_to() {
    let mut bench = Make::files().bench();
    let job = job(&mut bench).input("known-hosts", "");
    bench.write(&App::site("v1"));
    job.run(|_| {}).expect(2, &["nothing says which key a has", "ssh-keyscan"]);
    assert!(bench.site().releases().is_empty());

    // A file of the repository is as good as the input.
    let known = bench.area.path().join("known_hosts").to_string_lossy().into_owned();
    bench.config.set("ssh.known_hosts", known);
    bench.write_config();
    job.run(|_| {}).expect(0, &["live"]);

    let job = job.input("ssh-key", "").input("config", "local/deploy.toml");
    fs::create_dir(bench.project.join("local")).unwrap();
    let local = "app = \"x\"\n[build]\npreset = \"files\"\noutput = \"../dist\"\n[stages.here]\nhosts = [\"local\"]\npath = \"live\"\n";
    fs::write(bench.project.join("local/deploy.toml"), local).unwrap();
    job.run(|_| {}).expect(0, &["live"]);
    assert!(bench.project.join("local/live/current/index.html").exists());

    let job = job.input("ssh-key", "no key at all");
    job.run(|_| {}).expect(2, &["::error", "ssh-key is no private key"]);
}

/// Serves these files over HTTP on a loopback port until the test ends; its address.
fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut line);
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|n| n > 2) {
                header.clear();
            }
            let path = line.split(' ').nth(1).unwrap_or("").to_owned();
            let (status, body) = match files.get(&path) {
                Some(body) => ("200 OK", body.clone()),
                None => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

#[test]
fn the_binary_of_a_release_is_checked_before_it_is_used() {
    let area = super::support::area::Area::new();
    let (project, made) = (area.dir("project"), area.dir("made"));
    let program = made.join("shipit");
    fs::write(&program, "#!/bin/sh\necho 'shipit 9.9.9'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let asset = area.path().join("asset.tar.gz");
    assert!(Command::new("tar").arg("-czf").arg(&asset).arg("-C").arg(&made).arg("shipit").status().unwrap().success());
    let sum = Command::new("sha256sum").arg(&asset).output().unwrap().stdout;
    let place = |version: &str| {
        format!("/o/shipit/releases/download/v{version}/shipit-linux-{}.tar.gz", std::env::consts::ARCH)
    };
    let bytes = fs::read(&asset).unwrap();
    let server = serve(BTreeMap::from([
        (place("9.9.9"), bytes.clone()),
        (place("9.9.9") + ".sha256", sum),
        (place("9.9.8"), bytes.clone()),
        (place("9.9.8") + ".sha256", b"0123  asset\n".to_vec()),
        (place("9.9.7"), bytes),
    ]));
    // The runner's folder for actions tells whose this one is.
    let checkout = area.path().join("_actions/o/shipit/v9");
    fs::create_dir_all(&checkout).unwrap();
    for name in ["action", "Cargo.toml"] {
        std::os::unix::fs::symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), checkout.join(name)).unwrap();
    }
    let run = |version: &str| {
        let temp = area.dir(&format!("temp-{version}"));
        let output = Command::new(checkout.join("action/install.sh"))
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("ACTION_VERSION", version), ("ACTION_REPOSITORY", "")])
            .envs([("GITHUB_ACTION_PATH", &checkout), ("RUNNER_TEMP", &temp)])
            .env("GITHUB_SERVER_URL", &server)
            .current_dir(&project)
            .output()
            .unwrap();
        let there = temp.join("shipit-action/bin/shipit").exists();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), there)
    };
    let (code, said, there) = run("v9.9.9");
    assert!(code == Some(0) && there && said.contains("shipit 9.9.9 from"), "{said}");
    for (version, why) in [("9.9.8", "not used"), ("9.9.7", "no .sha256"), ("9.9.6", "there is no release 9.9.6")] {
        let (code, said, there) = run(version);
        assert!(code == Some(1) && !there && said.contains(why), "{version}: {code:?} {said}");
    }
}
