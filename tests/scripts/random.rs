//! Random trees deployed one after the other, each as what changed since the one before, by each shell with each awk: what
//! is live is the new tree and nothing else, byte for byte, whatever had become of the live one, of its manifest and of
//! what a cut upload left. A failure prints its seed; `SHIPIT_SEED=N` with the test's name runs it again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use walkdir::WalkDir;

use crate::bench::Bench;
use crate::support::apps::App;
use crate::support::tree;

super::in_every_shell! {
    any_tree_arrives_by_mawk
    any_tree_arrives_by_gawk
    any_tree_arrives_by_busybox_awk
}

fn any_tree_arrives_by_mawk(bench: &mut Bench) {
    holds(bench, "mawk");
}

fn any_tree_arrives_by_gawk(bench: &mut Bench) {
    holds(bench, "gawk");
}

fn any_tree_arrives_by_busybox_awk(bench: &mut Bench) {
    holds(bench, "busybox");
}

/// Trees in a chain. Each shell gets one chain with each awk: every run of the tests takes others.
const ROUNDS: usize = 4;
/// How long a failure may take to be made smaller.
const SHRINK_MS: u32 = 30_000;

fn holds(bench: &mut Bench, awk: &str) {
    let program = Path::new("/usr/bin").join(awk);
    assert!(program.exists(), "there is no {awk}: use tests/run");
    let applet = if awk == "busybox" { "awk " } else { "" };
    bench.shadow("awk", &format!("exec {} {applet}\"$@\"", program.display()));
    let seed = match std::env::var("SHIPIT_SEED") {
        Ok(text) => text.parse().expect("SHIPIT_SEED is a number"),
        Err(_) => RandomState::new().hash_one(awk),
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let config = Config { cases: 1, failure_persistence: None, max_shrink_time: SHRINK_MS, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (bench, number) = (RefCell::new(bench), RefCell::new(0));
    let outcome = runner.run(&vec(round(), ROUNDS), |rounds| {
        *number.borrow_mut() += 1;
        let mut bench = bench.borrow_mut();
        bench.place(&format!("app {}", number.borrow()));
        chain(&bench, &rounds);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("SHIPIT_SEED={seed}\n{error}"));
}

/// What one path becomes.
#[derive(Clone, Debug)]
enum Put {
    Gone,
    Folder,
    /// Its content, and whether it may be run.
    File(Content, bool),
    /// To one of the files and folders.
    Link(Index),
}

/// A few contents that often meet, some of the same size.
#[derive(Clone, Copy, Debug)]
struct Content(usize);

impl Content {
    fn bytes(self) -> Vec<u8> {
        match self.0 {
            0 => Vec::new(),
            1 => b"\n".to_vec(),
            n @ 2..=5 => [&[0, 0xff, b'\n'][..], &[n as u8; 512]].concat(),
            n => vec![n as u8; 70_000],
        }
    }
}

/// What becomes of a file of the live release before it is looked at.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Another content of the same size, with the time stamp of before.
    Rewritten,
    Gone,
    Folder,
    Link,
    Mode,
    Stranger,
}

/// One deploy: how the tree differs from the last one, and what is found on the host.
#[derive(Clone, Debug)]
struct Round {
    edits: Vec<(PathBuf, Put)>,
    damages: Vec<(Index, Damage)>,
    /// Where the live manifest is cut, or a byte of it is another one.
    manifest: Option<(Index, Option<u8>)>,
    /// What lies in incoming/, under which name.
    left: Vec<(PathBuf, Content)>,
}

fn round() -> impl Strategy<Value = Round> {
    let damage =
        select(&[Damage::Rewritten, Damage::Gone, Damage::Folder, Damage::Link, Damage::Mode, Damage::Stranger][..]);
    let manifest = prop_oneof![3 => Just(None), 1 => any::<(Index, Option<u8>)>().prop_map(Some)];
    (vec((path(), put()), 4..24), vec((any::<Index>(), damage), 0..3), manifest, vec((path(), content()), 0..3))
        .prop_map(|(edits, damages, manifest, left)| Round { edits, damages, manifest, left })
}

fn put() -> impl Strategy<Value = Put> {
    prop_oneof![
        2 => Just(Put::Gone),
        1 => Just(Put::Folder),
        8 => (content(), any::<bool>()).prop_map(|(content, runs)| Put::File(content, runs)),
        2 => any::<Index>().prop_map(Put::Link),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    (0..8_usize).prop_map(Content)
}

/// Few names, so that paths meet again, and each means something to a shell, an awk, a tar or a line-based tool.
fn path() -> impl Strategy<Value = PathBuf> {
    let odd: &[&[u8]] = &[
        b"a",
        b"b",
        b"a b",
        b" ",
        b"trailing ",
        b"new\nline",
        b"\n",
        b"tab\tcr\r",
        b"back\\slash",
        b"\\0101",
        b"[id]",
        b"(group)",
        b"@slot",
        b"$dollar",
        b"~",
        b"+x",
        b"-rf",
        b"*",
        b"?",
        b"'\"",
        b"%s",
        b"k 1",
        b"d 1",
        b"=x",
        b": OK",
        b"\xff\xfe",
        "\u{fc}-\u{65e5}\u{672c}".as_bytes(),
        &[b'n'; 181],
    ];
    let known = select(odd.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
    // What is never shipped or not ours to name is no name here.
    let any = vec(any::<u8>().prop_filter("no name", |b| !matches!(b, 0 | b'/')), 1..12)
        .prop_filter("no name", |name| !name.starts_with(b"."));
    let name = prop_oneof![12 => known, 1 => any];
    vec(name, 1..4).prop_map(|names| PathBuf::from(OsStr::from_bytes(&names.join(&b'/'))))
}

type Tree = BTreeMap<PathBuf, Put>;

/// A later path wins: what stands in its way goes.
fn edit(tree: &mut Tree, path: &Path, put: &Put) {
    tree.retain(|old, _| !old.starts_with(path));
    if matches!(put, Put::Gone) {
        return;
    }
    for above in path.ancestors().skip(1).filter(|above| *above != Path::new("")) {
        if !matches!(tree.get(above), Some(Put::Folder)) {
            tree.insert(above.to_owned(), Put::Folder);
        }
    }
    tree.insert(path.to_owned(), put.clone());
}

/// What a path of a release holds.
#[derive(Debug, PartialEq)]
enum Held {
    Folder(u32),
    File(u32, Vec<u8>),
    Link(PathBuf),
}

/// A tree as it must be on the host.
fn expected(tree: &Tree) -> BTreeMap<PathBuf, Held> {
    let ends: Vec<&PathBuf> =
        tree.iter().filter(|(_, put)| !matches!(put, Put::Link(_))).map(|(path, _)| path).collect();
    let held = tree.iter().map(|(path, put)| {
        let held = match put {
            Put::File(content, runs) => Held::File(if *runs { 0o755 } else { 0o644 }, content.bytes()),
            Put::Link(to) => {
                let up = "../".repeat(path.components().count() - 1);
                Held::Link(Path::new(&up).join(ends[to.index(ends.len())]))
            }
            Put::Folder | Put::Gone => Held::Folder(0o755),
        };
        (path.clone(), held)
    });
    held.collect()
}

fn found(top: &Path) -> BTreeMap<PathBuf, Held> {
    let entries = WalkDir::new(top).min_depth(1).into_iter().map(|entry| entry.unwrap());
    let held = entries.map(|entry| {
        let meta = entry.metadata().unwrap();
        let held = if meta.is_symlink() {
            Held::Link(fs::read_link(entry.path()).unwrap())
        } else if meta.is_dir() {
            Held::Folder(meta.mode() & 0o7777)
        } else {
            Held::File(meta.mode() & 0o7777, fs::read(entry.path()).unwrap())
        };
        (entry.path().strip_prefix(top).unwrap().to_owned(), held)
    });
    held.collect()
}

fn app(tree: &BTreeMap<PathBuf, Held>) -> App {
    tree.iter().fold(App::empty(), |app, (path, held)| match held {
        Held::Folder(_) => app.folder(path),
        Held::File(0o644, content) => app.file(path, content.clone()),
        Held::File(_, content) => app.program(path, content.clone()),
        Held::Link(target) => app.link(path, target),
    })
}

fn chain(bench: &Bench, rounds: &[Round]) {
    let mut tree = Tree::new();
    for (number, round) in rounds.iter().enumerate() {
        for (path, put) in &round.edits {
            edit(&mut tree, path, put);
        }
        // Something is always there, and always the same.
        edit(&mut tree, Path::new("always"), &Put::File(Content(7), false));
        let spoiled = number > 0 && found_on_host(bench, round);
        let wanted = expected(&tree);
        let output = bench.deploy(&app(&wanted), &[]).expect(0);
        let id = output.release();
        tree::verify(&bench.site.dir, &id, &[]).unwrap();
        let mut live = found(&bench.site.dir.join("releases").join(&id));
        assert!(live.remove(Path::new(".release.json")).is_some());
        assert_eq!(live, wanted, "round {number}\n{output}");
        assert!(!bench.site.dir.join(".shipit/incoming").exists());
        if number > 0 && !spoiled {
            let output = output.says(&[" reused, every file verified"]);
            assert!(!output.stdout.contains("sending all"), "{output}");
        }
    }
}

/// Makes the host as the round finds it; whether nothing may be left to reuse.
fn found_on_host(bench: &Bench, round: &Round) -> bool {
    let id = bench.site.current().unwrap();
    let live = bench.site.dir.join("releases").join(&id);
    for (which, damage) in &round.damages {
        let files: Vec<PathBuf> =
            found(&live).into_keys().filter(|path| live.join(path).symlink_metadata().unwrap().is_file()).collect();
        if let Some(path) = files.get(which.index(files.len().max(1))).filter(|path| *path != Path::new("always")) {
            spoil(&live.join(path), *damage);
        }
    }
    for (number, (path, content)) in round.left.iter().enumerate() {
        let file = bench.site.dir.join(".shipit/incoming").join(number.to_string()).join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content.bytes()).unwrap();
    }
    let Some((at, byte)) = round.manifest else { return false };
    let file = bench.site.dir.join(".shipit/manifests").join(&id);
    let mut text = fs::read(&file).unwrap();
    let at = at.index(text.len());
    match byte {
        Some(byte) => text[at] = byte,
        None => text.truncate(at),
    }
    fs::write(file, text).unwrap();
    true
}

fn spoil(file: &Path, damage: Damage) {
    let meta = fs::metadata(file).unwrap();
    match damage {
        Damage::Rewritten => {
            fs::write(file, vec![b'!'; meta.len() as usize]).unwrap();
            let times = FileTimes::new().set_modified(meta.modified().unwrap());
            File::options().write(true).open(file).unwrap().set_times(times).unwrap();
        }
        Damage::Mode => fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap(),
        Damage::Stranger => fs::write(file.with_file_name("not\nshipped"), "").unwrap(),
        Damage::Gone | Damage::Folder | Damage::Link => {
            fs::remove_file(file).unwrap();
            match damage {
                Damage::Folder => fs::create_dir(file).unwrap(),
                Damage::Link => symlink("/etc/hostname", file).unwrap(),
                _ => {}
            }
        }
    }
}
