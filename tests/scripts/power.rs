//! The power fails: a home on a disk of its own (ext4 on a loop device) whose image is copied before and behind every tool
//! of the host's scripts that changes something. Each copy is what such a cut would have left: it is mounted, its journal is
//! replayed, and what it holds is judged; then a plain deploy must just work.
//!
//! `SHIPIT_POWER=all` plays every run with every loss in every shell.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Shell, quiet, tell};
use crate::support::apps::App;
use crate::support::process::eventually;
use crate::support::site::{Live, Site};
use crate::support::tree;

super::in_every_shell! {
    what_a_power_cut_leaves_is_whole_and_the_next_deploy_works
}

/// What had reached the disk by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Only what was waited for: no more was written than the scripts asked to be.
    AllElse,
    /// Names, links and modes are there, the content of files that nobody waited for is not.
    Content,
    /// All was written; only the processes are gone.
    Nothing,
}

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    First,
    Deploy,
    Rollback,
    /// A deploy that is taken back, for its start fails.
    TakenBack,
}

use Lost::{AllElse, Content, Nothing};
use Verb::{Deploy, First, Rollback, TakenBack};

/// Which of them each shell plays by itself: what the kernel loses is no matter of the shell.
fn plays(shell: Shell) -> Vec<(Verb, Lost)> {
    if std::env::var("SHIPIT_POWER").is_ok() {
        let losses = |verb| [AllElse, Content, Nothing].map(|lost| (verb, lost));
        return [First, Deploy, Rollback, TakenBack].into_iter().flat_map(losses).collect();
    }
    match shell {
        Shell::Dash => vec![(Deploy, Content), (First, Content)],
        Shell::Bash => vec![(Rollback, Content), (Deploy, AllElse)],
        Shell::Busybox => vec![(TakenBack, Content), (Deploy, Nothing)],
    }
}

/// Tools that change something. What is behind one of them is before the next, whatever the shell itself wrote in between.
const TOOLS: [&str; 7] = ["ln", "mv", "rm", "rmdir", "mkdir", "touch", "sync"];

/// Copies the image of the disk, unless it is written to meanwhile.
const COPY: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin:/usr/sbin:/sbin at='DIR'
exec 9>>"$at/door"
flock 9
read -r lost loop <"$at/armed" || exit 0
case $lost in
  # A transaction is closed for another file's sake.
  Content) echo >>"$at/disk/other"; sync "$at/disk/other" ;;
  Nothing) sync -f "$at/disk" ;;
esac
read -r n <"$at/count"
n=$((n + 1))
state() { cut -c1- "/sys/block/$loop/stat" | { read -r _ _ _ _ writes _ _ _ flying _; echo "$writes $flying"; }; }
while
  before=$(state)
  cp --sparse=always "$at/disk.img" "$at/cuts/$n.img"
  [ "${before#* }" != 0 ] || [ "$before" != "$(state)" ]
do :; done
printf '%s\n' "$*" >"$at/cuts/$n.txt"
echo "$n" >"$at/count"
# The same once more says nothing new.
if [ "$n" -gt 1 ] && cmp -s "$at/cuts/$n.img" "$at/cuts/$(cat "$at/kept").img"; then
  rm "$at/cuts/$n.img"
else
  echo "$n" >"$at/kept"
fi
"#;

/// A disk whose image is a file.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// An empty one below `at`.
    fn make(at: &Path) -> Disk {
        fs::create_dir_all(at.join("disk")).unwrap();
        fs::create_dir_all(at.join("cuts")).unwrap();
        let image = at.join("disk.img");
        fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        let made = quiet("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-J", "size=4"]).arg(&image).status().unwrap();
        assert!(made.success());
        let copy = at.join("copy");
        fs::write(&copy, COPY.replace("DIR", &at.display().to_string())).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        Disk { at: at.to_owned() }
    }

    /// Mounts an image; nothing is written by time alone. No help from the file system where a name is given to a file
    /// whose content was not waited for: others give none.
    fn mount(&self, image: &Path) -> String {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,commit=300,noauto_da_alloc"]).arg(image).arg(self.at.join("disk"));
        let output = mount.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let at = self.at.join("disk").display().to_string();
        let line =
            mounts.lines().rev().find(|line| line.split(' ').nth(1) == Some(&*at)).expect("it was mounted just now");
        line.split(' ').next().unwrap().trim_start_matches("/dev/").to_owned()
    }

    /// Old releases may still be on their way out, behind the end of a run.
    fn umount(&self) {
        eventually("nobody works on the disk", Duration::from_secs(30), || {
            let output = Command::new("umount").arg(self.at.join("disk")).output().unwrap();
            if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) }
        });
    }

    /// Copies are made from now on.
    fn arm(&self, lost: Lost, device: &str) {
        fs::write(self.at.join("count"), "0\n").unwrap();
        fs::write(self.at.join("armed"), format!("{lost:?} {device}\n")).unwrap();
    }

    /// No more; one last is made of what is left once the run has told its end.
    fn disarm(&self) -> Vec<(PathBuf, String)> {
        assert!(quiet("sh").arg(self.at.join("copy")).arg("the end").status().unwrap().success());
        fs::remove_file(self.at.join("armed")).unwrap();
        let count: usize = fs::read_to_string(self.at.join("count")).unwrap().trim().parse().unwrap();
        let cut = |n: usize| {
            let text = fs::read_to_string(self.at.join(format!("cuts/{n}.txt"))).unwrap();
            (self.at.join(format!("cuts/{n}.img")), format!("cut {n}, {}", text.trim()))
        };
        (1..=count).map(cut).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = quiet("umount").arg("-l").arg(self.at.join("disk")).status();
    }
}

fn app(version: &str) -> App {
    (0..5).fold(App::site(version), |app, n| app.file(format!("lib/{n}.js"), format!("the same, {n}\n").repeat(900)))
}

/// A service of lines that only note what they were asked.
fn service(bench: &mut Bench, start: &str) {
    let note = |word: &str| format!("echo {word} $SHIPIT_RELEASE >>../../shared/noted");
    bench.config.set("service.command.start", format!("{} && {start}", note("start")));
    bench.config.set("service.command.revert", note("revert")).set("service.command.stop", note("stop"));
}

fn what_a_power_cut_leaves_is_whole_and_the_next_deploy_works(bench: &mut Bench) {
    let began = Instant::now();
    bench.place("power/disk/app");
    let disk = Disk::make(&bench.area.path().join("power"));
    let (image, copy) = (disk.at.join("disk.img"), disk.at.join("copy").display().to_string());
    bench.config.set("release.keep", 2).set("health.soak", "0s").set("shared.dirs", vec!["lib"]);
    service(bench, "true");
    for tool in TOOLS {
        let words = format!("\"before {tool} $*\"");
        let armed = disk.at.join("armed").display().to_string();
        bench.shadow(tool, &format!("[ ! -e '{armed}' ] || '{copy}' {words}\nexec REAL \"$@\""));
    }
    // An empty one, and one with two releases; what is removed then is not the way back.
    let (empty, filled) = (disk.at.join("empty.img"), disk.at.join("filled.img"));
    fs::copy(&image, &empty).unwrap();
    disk.mount(&image);
    let ids = ["v0", "v1", "v2"].map(|version| bench.release(&app(version)));
    disk.umount();
    fs::copy(&image, &filled).unwrap();
    let (mut copies, mut cuts, mut wrong) = (0, 0, Vec::new());
    for (verb, lost) in plays(bench.shell) {
        fs::copy(if verb == First { &empty } else { &filled }, &image).unwrap();
        let device = disk.mount(&image);
        if verb == TakenBack {
            service(bench, "false");
        }
        bench.write(&app("v3"));
        disk.arm(lost, &device);
        let output = match verb {
            Rollback => bench.run("rollback", &["--json"]).expect(0),
            TakenBack => bench.run("deploy", &["--json"]).expect(4),
            First | Deploy => bench.run("deploy", &["--json"]).expect(0),
        };
        let all = disk.disarm();
        disk.umount();
        service(bench, "true");
        let new = output.release();
        let old = (verb != First).then(|| ids[2].as_str());
        copies += all.len();
        let mut seen = BTreeSet::new();
        for (number, (cut, what)) in all.iter().enumerate() {
            if !cut.exists() {
                continue;
            }
            let last = number + 1 == all.len();
            disk.mount(cut);
            // What has been judged once is so however often it is met.
            if !seen.insert(outline(bench)) && !last {
                disk.umount();
                fs::remove_file(cut).unwrap();
                continue;
            }
            let outcome = judge(
                bench,
                old,
                &new,
                if !last {
                    None
                } else if verb == TakenBack {
                    old
                } else {
                    Some(&new)
                },
            );
            disk.umount();
            wrong.extend(outcome.err().map(|why| format!("{verb:?}, lost: {lost:?}, {what}: {why}")));
            fs::remove_file(cut).unwrap();
            cuts += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let line = format!("{:?}: {copies} places, {cuts} images, {seconds:.1} s", bench.shell);
    tell(&line);
    assert!(
        wrong.is_empty(),
        "{} cuts went wrong, the first of them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
}

/// What a run that comes to this home can find: all but what differs from one moment to the next and is never read again.
fn outline(bench: &Bench) -> Vec<(PathBuf, u64, PathBuf)> {
    let entries = walkdir::WalkDir::new(&bench.site.dir).sort_by_file_name().into_iter().filter_map(Result::ok);
    let found = entries.map(|entry| {
        let meta = entry.path().symlink_metadata().unwrap();
        let size = if meta.is_file() { meta.len() } else { 0 };
        let path = entry.path().strip_prefix(&bench.site.dir).unwrap().to_owned();
        (path, size, fs::read_link(entry.path()).unwrap_or_default())
    });
    let passes = |path: &Path| {
        let text = path.to_string_lossy();
        [".shipit/lock.", "/groups/", "/stage/", "/log"].iter().any(|part| text.contains(part))
    };
    found.filter(|(path, _, _)| !passes(path)).collect()
}

/// What is live after a cut is whole, and a deploy works; `told`: the run had said by then that this is live.
fn judge(bench: &Bench, old: Option<&str>, new: &str, told: Option<&str>) -> Result<(), String> {
    let site: &Site = &bench.site;
    let current = site.current();
    if current.is_none() && fs::symlink_metadata(site.dir.join("current")).is_ok() {
        return Err("current leads nowhere".into());
    }
    if current.as_deref() != old && current.as_deref() != Some(new) {
        return Err(format!("current is {current:?}, neither {old:?} nor {new}"));
    }
    for id in site.releases() {
        tree::verify(&site.dir, &id, &[])?;
    }
    // What was seeded is never seeded again.
    let seeded = site.dir.join("shared/lib");
    for n in (0..5).filter(|_| seeded.exists()) {
        let content =
            fs::read(seeded.join(format!("{n}.js"))).map_err(|error| format!("shared/lib/{n}.js: {error}"))?;
        if content != app("").files()[&PathBuf::from(format!("lib/{n}.js"))] {
            return Err(format!("shared/lib/{n}.js is not what was seeded"));
        }
    }
    let whole = current.iter().all(|id| site.releases().contains(id));
    if !whole {
        return Err(format!("{current:?} is not there"));
    }
    let output = if told.is_some() { bench.run("recover", &[]) } else { bench.deploy(&app("next"), &[]) };
    if output.code != Some(0) || output.stdout.contains("can't be read") {
        return Err(format!("the next run\n{output}"));
    }
    if let Some(told) = told {
        return site.check(&Live::Old(told.to_owned()));
    }
    site.check(&Live::New(output.release()))?;
    let previous = site.record(&output.release())["previous"].clone();
    let known = [old.unwrap_or_default(), new];
    if previous.as_str().is_none_or(|previous| !known.contains(&previous)) {
        return Err(format!("what was live before is {previous}"));
    }
    Ok(())
}
