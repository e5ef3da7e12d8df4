//! The fourteen usual mistakes of a first day, told one after the other as a person reads them, and held against
//! `tests/golden/mistakes.txt`; `UPDATE_GOLDEN=1` rewrites it. Each is asserted by itself as well: the message, the
//! cure, the exit code, and that production is untouched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::alike::alike;
use super::support::shipit::Output;
use super::support::sshd::keygen;
use super::support::{App, Bench, Live, Make, ports};

/// A bench, what is live on it, and what a reader knows its parts by.
struct Place {
    bench: Bench,
    live: Live,
}

impl Place {
    fn files() -> Place {
        let bench = Make::files().bench();
        let live = Live::Old(bench.release(&App::site("v1")));
        Place { bench, live }
    }

    fn pm2() -> Place {
        let mut bench = Make::pm2(1).bench();
        bench.config.set("health.soak", "1s");
        let live = Live::Old(bench.release(&App::server("v1")));
        Place { bench, live }
    }

    /// Runs a command that is refused, with another config for this once; its section of the transcript.
    #[track_caller]
    fn refused(&mut self, title: &str, change: impl Fn(&mut Bench), args: &[&str], code: i32, says: &[&str]) -> String {
        let (before, workers) = (self.bench.site().production(), self.workers());
        let config = self.bench.config.clone();
        change(&mut self.bench);
        self.bench.write_config();
        let output = self.bench.shipit.run(args).expect(code).says(says);
        let section = self.section(title, &output);
        self.bench.config = config;
        self.bench.trust_hosts();
        // A failed release may be kept beside the live one. Where nothing was live, the first contact makes the folders.
        if self.live.id().is_some() {
            let after = self.bench.site().production();
            let changed =
                before.iter().find(|(path, what)| *path != Path::new("releases") && after.get(*path) != Some(what));
            assert_eq!(changed, None, "{title}: production is untouched");
        }
        assert_eq!(self.workers(), workers, "{title}: no process is touched");
        self.bench.site().assert_invariant(&self.live);
        section
    }

    fn workers(&self) -> Vec<(u32, u64)> {
        self.bench.host().workers().iter().map(|worker| (worker.pid, worker.restarts)).collect()
    }

    fn section(&self, title: &str, output: &Output) -> String {
        let (bench, host) = (&self.bench, self.bench.host());
        let text = format!("{}{}", output.stdout, output.stderr);
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let (area, ssh_port) = (bench.area.path(), host.ssh_port().to_string());
        let names = [
            (shown(&bench.project), "/home/ann/blog"),
            (shown(&host.site.path), "/srv/blog"),
            (shown(&area.join("known_hosts")), "/home/ann/.ssh/known_hosts"),
            (shown(&area.join("id")), "/home/ann/.ssh/id_ed25519"),
            (shown(&area.join("stranger")), "/home/ann/.ssh/other"),
            (format!("127.0.0.1:{ssh_port}"), "web1.example.com:22"),
            (shown(area), "/srv"),
            ("127.0.0.1".into(), "web1.example.com"),
            (ssh_port, "22"),
            (host.port.to_string(), "3000"),
            ("shipit-a".into(), "deploy"),
        ];
        let text = names.iter().fold(text, |text, (from, to)| text.replace(from.as_str(), to));
        let code = output.code.unwrap_or(-1);
        // Only what takes its time has one.
        let text = alike(&text).replace(" in 1.0s\n", "\n");
        // What was built and packaged beside a connection that fails, and how well a few bytes pack, is chance.
        let lost = text.contains("\nconnect       failed");
        let told = text.lines().filter(|line| !(lost && (line.starts_with("build ") || line.starts_with("package "))));
        let told = told.map(|line| match line.split_once(" sent, ") {
            Some((_, more)) => format!("receive       ok  800 B sent, {more}\n"),
            None => format!("{line}\n"),
        });
        let text: String = told.collect();
        format!("## {title}\n\n$ shipit {}\n{text}[exit code {code}]\n", output.args.join(" "))
    }
}

/// A small file system that is full soon; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn over(dir: &Path, megabytes: u32) -> Disk {
        let options = format!("size={megabytes}m,mode=755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(dir);
        assert!(mount.status().expect("mount is everywhere").success(), "root may mount");
        Disk(dir.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const DEPLOY: &[&str] = &["deploy", "production"];

fn of_ssh(place: &mut Place) -> Vec<String> {
    let known = place.bench.area.path().join("known_hosts");
    let (stranger, other) = (place.bench.area.path().join("stranger"), place.bench.area.path().join("other"));
    keygen(&stranger);
    keygen(&other);
    let other = fs::read_to_string(other.with_extension("pub")).unwrap();
    let port = place.bench.host().ssh_port();
    let nobody = ports::free();
    vec![
        place.refused(
            "A key that the host does not know",
            |bench| _ = bench.config.set("ssh.identity_file", stranger.to_str().unwrap()),
            DEPLOY,
            1,
            &["no key was accepted", "authorized_keys", "production was not touched"],
        ),
        place.refused(
            "A host whose key is not known",
            |_| fs::write(&known, "").unwrap(),
            DEPLOY,
            1,
            &["not in known_hosts", "ssh-keyscan"],
        ),
        place.refused(
            "A host whose key has changed",
            |_| fs::write(&known, format!("[127.0.0.1]:{port} {other}")).unwrap(),
            DEPLOY,
            1,
            &["another one than known_hosts", "ssh-keygen -R", "somebody may be in between"],
        ),
        place
            .refused(
                "A host that is down",
                |bench| {
                    let mut address = bench.host().address();
                    address.insert("address".into(), format!("shipit-a@127.0.0.1:{nobody}").into());
                    bench.config.set("stages.production.hosts", vec![address]);
                },
                DEPLOY,
                1,
                &["not reachable", "try it by hand: ssh "],
            )
            .replace(&nobody.to_string(), "22"),
    ]
}

fn of_path() -> String {
    let mut place = Place::files();
    let dir = place.bench.site().dir.clone();
    let owner = fs::metadata(&dir).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap();
    chown(&dir, Some(0), None).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let section = place.refused("A path that is not writable", |_| {}, DEPLOY, 1, &["not writable", "chown"]);
    chown(&dir, Some(owner), None).unwrap();
    section
}

fn of_config(place: &mut Place) -> Vec<String> {
    vec![
        place.refused(
            "A typo in a key",
            |bench| _ = bench.config.set("build.comand", "npm run build"),
            DEPLOY,
            2,
            &["deploy.toml:", "^^^^^^ did you mean `command`?", "no host was contacted"],
        ),
        place.refused(
            "A stage misspelt",
            |_| {},
            &["deploy", "prodcution"],
            2,
            &["no stage is called `prodcution`", "did you mean `production`?"],
        ),
    ]
}

fn of_build(place: &mut Place) -> Vec<String> {
    let project = place.bench.project.clone();
    let standalone = |bench: &mut Bench| {
        bench.config.set("build.preset", "next").unset("build.output");
        let next = project.join(".next");
        fs::create_dir_all(&next).unwrap();
        fs::write(project.join("next.config.mjs"), "export default {};\n").unwrap();
        let said = r#"{"version":1,"config":{"distDir":".next","configFileName":"next.config.mjs"}}"#;
        fs::write(next.join("required-server-files.json"), said).unwrap();
    };
    let script =
        "echo 'Creating an optimized production build'\necho 'page.tsx:3:7 Type error: x is not a y'\nexit 1\n";
    fs::write(project.join("build.sh"), script).unwrap();
    vec![
        place.refused(
            "No output: 'standalone'",
            standalone,
            DEPLOY,
            1,
            &["output: 'standalone'", "next.config.mjs", "cure: "],
        ),
        place.refused(
            "A build that fails",
            |bench| _ = bench.config.set("build.command", "sh build.sh"),
            DEPLOY,
            1,
            &["the build failed", "Type error: x is not a y", "nothing was sent to any host"],
        ),
        place.refused(
            "A missing .env",
            |bench| _ = bench.config.set("shared.files", vec![".env".to_owned()]),
            DEPLOY,
            1,
            &[".env", "cure: ", "scp "],
        ),
    ]
}

fn of_pm2() -> Vec<String> {
    let mut place = Place::pm2();
    let (bench, taken) = (&place.bench, ports::free());
    let elsewhere = bench.area.dir("shop");
    App::server("shop").write(&elsewhere);
    let mut start = bench.host().account.command("pm2");
    start.env("PM2_HOME", bench.area.path().join("host-a/pm2")).env("PORT", taken.to_string());
    start.args(["-s", "start", "server.js", "--name", "shop", "--cwd"]).arg(&elsewhere).current_dir(&elsewhere);
    assert!(start.status().unwrap().success());
    let listens = || std::net::TcpStream::connect(("127.0.0.1", taken)).map(drop).map_err(|error| error.to_string());
    super::support::process::eventually("the shop listens", std::time::Duration::from_secs(30), listens);
    let mut sections = vec![
        place
            .refused(
                "A port that another app has",
                |bench| _ = bench.config.set("service.pm2.port", i64::from(taken)),
                DEPLOY,
                1,
                &["is held by", "shop", "cure: choose another port"],
            )
            .replace(&taken.to_string(), "3000"),
    ];
    sections.push(without_pm2());
    sections.push(place.refused(
        "A health path that is not there",
        |bench| _ = bench.config.set("health.path", "/healthz").set("health.within", "2s"),
        DEPLOY,
        1,
        &["boot_test failed", "/healthz", "404", "production was not touched"],
    ));
    sections
}

fn without_pm2() -> String {
    let mut place = Place { bench: Make::pm2(1).without("pm2").bench(), live: Live::Nothing };
    place.bench.write(&App::server("v1"));
    place.refused("No pm2 on the PATH", |_| {}, DEPLOY, 1, &["pm2", "cure: "])
}

fn of_disk() -> String {
    let bench = Make::files().bench();
    let disk = Disk::over(&bench.site().dir, 20);
    bench.host().account.own(&bench.site().dir);
    let live = Live::Old(bench.release(&App::site("v1")));
    bench.write(&App::site("v2").ballast(30_000_000));
    let mut place = Place { bench, live };
    let section = place.refused(
        "A disk that is full",
        |_| {},
        DEPLOY,
        1,
        &["free", "30 MB", "shipit cleanup production", "df -h"],
    );
    // Before the bench, which removes the folder.
    drop(disk);
    section
}

#[test]
fn fourteen_usual_mistakes_read_well() {
    let mut place = Place::files();
    let mut sections = of_ssh(&mut place);
    sections.push(of_path());
    sections.extend(of_config(&mut place));
    sections.extend(of_build(&mut place));
    sections.extend(of_pm2());
    sections.push(of_disk());
    assert_eq!(sections.len(), 14);
    let text = sections.join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mistakes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{} differs; UPDATE_GOLDEN=1 rewrites it. Now:\n{text}", file.display());
}
