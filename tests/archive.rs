//! The archive and the manifest as a host meets them: real tars take the archive apart, real shells read the
//! manifest's paths. What goes into a release is the business of the unit tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use shipit::artifact::{Artifact, Codec, Extra, Modes, Payload, Way, end_archive, escape, manifest, write_archive};
use shipit::config::{Build, Preset, Service, Shared};
use shipit::error::{Error, Result};

const MODES: Modes = (0o750, 0o640, 0o750);
const MTIME: u64 = 1_774_101_600;

fn collect(root: &Path) -> Artifact {
    let build = Build {
        preset: Preset::Files,
        root: root.to_owned(),
        command: None,
        output: None,
        env: BTreeMap::new(),
        include: vec![],
        exclude: vec![],
    };
    Artifact::collect(&build, &Shared::default(), &Service::None).unwrap()
}

fn extra() -> Vec<Extra> {
    vec![(".release.json".into(), b"{\"id\": \"x\"}".to_vec())]
}

fn pack(artifact: &Artifact, out: &mut impl Write) -> Result<()> {
    let extra = extra();
    let manifest = manifest(artifact, MODES, &extra);
    let payload = Payload {
        manifest: &manifest,
        record: b"{\"state\": \"good\"}",
        extra: &extra,
        modes: MODES,
        mtime: MTIME,
        delta: None,
    };
    write_archive(artifact, &payload, out)?;
    end_archive(0, MTIME, out)
}

fn packed(artifact: &Artifact, codec: Codec) -> Vec<u8> {
    let mut encoder = codec.encoder(Way::Wire, Vec::new()).unwrap();
    pack(artifact, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Files whose names and contents every part on the way might trip over.
fn awkward(root: &Path) {
    let names: Vec<Vec<u8>> = vec![
        b"plain.txt".into(),
        b"with space".into(),
        b" leading and trailing ".into(),
        b"quote's and \"quotes\"".into(),
        b"$(touch gone) `touch gone` $HOME".into(),
        b"back\\slash\\n\\0012".into(),
        b"new\nline\n".into(),
        b"tab\tand\rreturn".into(),
        b"-rf".into(),
        b"--checkpoint-action=exec=sh".into(),
        b"*?[id]~+@(x)".into(),
        "\u{fc}nic\u{f6}de-\u{65e5}\u{672c}-\u{1f680}".into(),
        b"not-utf8-\xff\xfe".into(),
        vec![b'n'; 99],
        vec![b'n'; 100],
        vec![b'n'; 101],
        vec![b'n'; 255],
        [&b"deep/"[..], &[b'd'; 80], b"/", &[b'e'; 80], b"/end.js"].concat(),
    ];
    for (i, name) in names.iter().enumerate() {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [&b"\0\n "[..], name, &vec![i as u8; i * 211]].concat()).unwrap();
    }
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("block"), [7; 512]).unwrap();
    fs::create_dir(root.join("empty folder")).unwrap();
    fs::write(root.join("program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o4777)).unwrap();
    // A hole is nothing but zeros to the host.
    fs::File::create(root.join("sparse")).unwrap().set_len(3_000_000).unwrap();
    for (link, target) in [
        ("link", "plain.txt"),
        ("deep/link with\nnewline", "../with space"),
        ("odd", "./deep/..//deep/"),
        ("long", &("./".repeat(60) + "plain.txt")),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
}

/// What a path holds; modes as the archive gives them, times only where every tar keeps them.
#[derive(Debug, PartialEq)]
enum Held {
    Dir { mode: u32 },
    File { mode: u32, mtime: i64, content: Vec<u8> },
    Link { target: PathBuf },
}

/// All paths below `top`; `packed` says what the archive makes of modes and times.
fn listing(top: &Path, packed: bool) -> BTreeMap<PathBuf, Held> {
    let mut held = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                Held::Link { target: fs::read_link(&path).unwrap() }
            } else if meta.is_dir() {
                folders.push(path.clone());
                Held::Dir { mode: if packed { MODES.0 } else { meta.mode() & 0o7777 } }
            } else {
                let mode = if meta.mode() & 0o111 == 0 { MODES.1 } else { MODES.2 };
                let content = fs::read(&path).unwrap();
                if packed {
                    Held::File { mode, mtime: MTIME as i64, content }
                } else {
                    Held::File { mode: meta.mode() & 0o7777, mtime: meta.mtime(), content }
                }
            };
            held.insert(path.strip_prefix(top).unwrap().to_owned(), what);
        }
    }
    held
}

fn run(program: &[&str], dir: &Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program[0]));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program:?}: {}", output.status);
        output.stdout
    })
}

#[test]
fn every_tar_gives_back_what_was_packed() {
    let source = tempfile::tempdir().unwrap();
    awkward(source.path());
    let artifact = collect(source.path());
    let mut expected = listing(source.path(), true);
    let release = Held::File { mode: MODES.1, mtime: MTIME as i64, content: extra()[0].1.clone() };
    expected.insert(".release.json".into(), release);

    for codec in [Codec::Zstd, Codec::Gzip] {
        let archive = packed(&artifact, codec);
        let plain = run(&[codec.word(), "-dc"], source.path(), &archive);
        for tar in [&["tar", "-xof", "-"][..], &["busybox", "tar", "-xof", "-"]] {
            let host = tempfile::tempdir().unwrap();
            run(tar, host.path(), &plain);
            assert_eq!(listing(&host.path().join("tree"), false), expected, "{tar:?}");
            assert_eq!(fs::read(host.path().join("manifest")).unwrap(), manifest(&artifact, MODES, &extra()));
            assert_eq!(fs::read(host.path().join("record.json")).unwrap(), b"{\"state\": \"good\"}");
            assert_eq!(fs::read_dir(host.path()).unwrap().count(), 4, "with the sign that all is there");
        }
    }
}

#[test]
fn the_stream_begins_with_the_manifest_and_tells_nothing_of_this_machine() {
    let source = tempfile::tempdir().unwrap();
    awkward(source.path());
    let mut bytes = Vec::new();
    pack(&collect(source.path()), &mut bytes).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap().raw(true) {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap(), MTIME);
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        assert!(matches!(header.entry_type().as_byte(), b'0' | b'5' | b'2' | b'L' | b'K'));
        names.push(entry.path_bytes().into_owned());
    }
    assert_eq!(names[..4], [&b"manifest"[..], b"record.json", b"tree", b"tree/ leading and trailing "]);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, mode) in [(&one, 0o644), (&two, 0o600)] {
        awkward(dir.path());
        // More than one of the compressor's jobs; a generator whose output does not compress away.
        let mut state = 1u64;
        let noise: Vec<u8> = (0..12_000_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 58) as u8
            })
            .collect();
        fs::write(dir.path().join("noise"), noise).unwrap();
        fs::set_permissions(dir.path().join("noise"), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::File::open(two.path().join("noise")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let (one, two) = (collect(one.path()), collect(two.path()));
    assert_eq!(one.hash, two.hash);
    for codec in [Codec::Zstd, Codec::Gzip] {
        assert!(packed(&one, codec) == packed(&two, codec), "{codec:?}");
    }
}

#[test]
fn a_file_that_changes_after_it_was_hashed_is_refused_by_name() {
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("app.js");
    for (what, content) in [("same size", "changed."), ("longer", "original+"), ("shorter", "origina"), ("empty", "")] {
        fs::write(&file, "original").unwrap();
        let artifact = collect(source.path());
        pack(&artifact, &mut io::sink()).unwrap();
        fs::write(&file, content).unwrap();
        match pack(&artifact, &mut io::sink()) {
            Err(Error::Artifact { findings }) => assert!(findings[0].what.contains("app.js` was changed"), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_receiver_that_goes_away_is_no_fault_of_the_files() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "a").unwrap();
    let failed = pack(&collect(source.path()), &mut Gone);
    assert!(
        matches!(failed, Err(Error::File { doing: "write", source, .. }) if source.kind() == io::ErrorKind::BrokenPipe)
    );
}

proptest! {
    // One case of many paths, so that each shell starts once.
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn shells_read_escaped_paths_back(paths in proptest::collection::vec(any_path(), 1500)) {
        let escaped: Vec<Vec<u8>> = paths.iter().map(|path| escape(path)).collect();
        for text in &escaped {
            prop_assert!(!text.iter().any(|b| matches!(b, b'\n' | b'\t' | b'\r')));
        }
        let expected = paths.iter().flat_map(|path| [path, &b"\0"[..]].concat()).collect::<Vec<u8>>();
        for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .args(["-c", r#"for path do printf '%b\0' "$path"; done"#, "sh"])
                .args(escaped.iter().map(|text| OsStr::from_bytes(text)))
                .output()
                .unwrap();
            prop_assert!(output.stdout == expected, "{shell:?}");
        }
    }
}

/// Bytes of any kind but NUL, with those that mean something to the escaping often among them.
fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(&b"\\\n\t\r012 '\"$`c%"[..]);
    proptest::collection::vec(prop_oneof![special, 1..=255u8], 0..24)
}
