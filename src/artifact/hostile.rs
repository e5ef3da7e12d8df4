//! An artifact file, and what a host tells of its files, as somebody who wishes us ill would write them: each is refused
//! or means what it says, and nothing of it leads out of a release. Generated; a failure prints its smallest case.

#![cfg(test)]

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use super::fixture::Project;
use super::manifest::unescape;
use super::{Artifact, Entry, EntryKind, Head, Held, Kept, delta, keep, manifest, sha256};
use crate::config::{Config, Preset};

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, Vec<u8>),
    Cut(Index, u8),
    Insert(Index, Vec<u8>),
    End(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let words = select(vec![
        &b"../"[..],
        b"/etc/x",
        b"\\0056\\0056/",
        b"l - - - a\tb\n",
        b"d - - - ..\n",
        b"\0\0",
        b"\n",
        b"f - 9 ",
    ]);
    let bytes = prop_oneof![words.prop_map(<[u8]>::to_vec), vec(any::<u8>(), 1..6)];
    prop_oneof![
        (any::<Index>(), bytes.clone()).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, n)| Change::Cut(at, n)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<Index>().prop_map(Change::End),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let all = bytes.len();
        match change {
            Change::Put(at, new) => {
                let at = at.index(all);
                let end = (at + new.len()).min(all);
                bytes[at..end].copy_from_slice(&new[..end - at]);
            }
            Change::Cut(at, n) => {
                let at = at.index(all);
                bytes.drain(at..(at + usize::from(*n)).min(all));
            }
            Change::Insert(at, new) => {
                let at = at.index(all);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::End(at) => bytes.truncate(at.index(all)),
        }
    }
    bytes
}

fn project() -> (Project, Config) {
    let mut project = Project::new(Preset::Files);
    project.build.output = Some("out".into());
    project.file("out/index.html", "hello").file("out/a/b.js", "let it = be").link("out/l", "a/b.js");
    let file = project.path("deploy.toml");
    let stage = "[stages.x]\nhosts = [\"local\"]\npath = \"home\"\n";
    fs::write(&file, format!("app = \"blog\"\n[build]\npreset = \"files\"\noutput = \"out\"\n{stage}")).unwrap();
    let config = Config::load(&file, None, &|_| None).unwrap();
    (project, config)
}

fn packed(file: &Path, bytes: &[u8]) {
    let mut encoder = zstd::stream::write::Encoder::new(fs::File::create(file).unwrap(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap();
}

/// That what was read of a file may lie in a release, and nowhere else.
fn lies_inside(artifact: &Artifact) -> Result<(), TestCaseError> {
    let dirs: Vec<&Path> =
        artifact.entries.iter().filter(|e| matches!(e.kind, EntryKind::Dir)).map(|e| &*e.dest).collect();
    for entry in &artifact.entries {
        let parts: Vec<&[u8]> = entry.dest.as_os_str().as_bytes().split(|b| *b == b'/').collect();
        prop_assert!(parts.iter().all(|part| !part.is_empty() && *part != b".." && *part != b"."), "{:?}", entry.dest);
        let above = entry.dest.parent().filter(|above| !above.as_os_str().is_empty());
        prop_assert!(above.is_none_or(|above| dirs.contains(&above)), "{:?} lies in no folder", entry.dest);
        if let EntryKind::Link { target } = &entry.kind {
            // As the kernel goes, from the link's folder: below the top at every step.
            let mut depth = parts.len() as i64 - 1;
            prop_assert!(target.is_relative());
            for part in target.components() {
                depth += if part == Component::ParentDir { -1 } else { 1 };
                prop_assert!(depth >= 0, "{:?} -> {target:?}", entry.dest);
            }
        }
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_host_tells_of_its_files_leads_nowhere_else(changes in vec(change(), 0..5)) {
        let sha = "a".repeat(64);
        let told = format!("d 0750 - - a\nf 0640 3 {sha} a/b\nf 0640 3 {} c\nl - - - z\tc\nb c\nh {sha} 1/x\ne\n", "b".repeat(64));
        let wanted = format!("d 0750 - - a\nf 0640 3 {sha} a/b\nf 0640 3 {sha} d\nf 0640 3 {} e\n", "c".repeat(64));
        let Some(held) = Held::parse(&changed(told.into_bytes(), &changes)) else { return Ok(()) };
        let Some(delta) = delta(wanted.as_bytes(), &held, None) else { return Ok(()) };
        prop_assert_eq!(delta.fates.len(), 4);
        // The host makes its manifest of these: each line is one of ours, whatever it said of its own.
        let lines: Vec<&[u8]> = delta.text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        for line in &lines {
            match line[0] {
                b'k' | b'd' | b'K' => prop_assert!(line[1] == b' ' && line[2..].iter().all(u8::is_ascii_digit)),
                b'+' => prop_assert!(wanted.as_bytes().split(|b| *b == b'\n').any(|own| own == &line[1..])),
                b'=' | b'~' => {
                    let tab = line.iter().position(|b| *b == b'\t').expect("the host looks for it");
                    prop_assert!(wanted.as_bytes().split(|b| *b == b'\n').any(|own| own == &line[tab + 1..]), "{:?}", line);
                }
                other => prop_assert!(false, "{}", other),
            }
        }
    }

    #[test]
    fn escapes_say_one_thing(text in vec(select(&b"\\0123789ax\n\t "[..]), 0..12)) {
        if let Some(path) = unescape(&text) {
            prop_assert_eq!(unescape(&super::manifest::escape(&path)), Some(path));
        }
    }
}

#[test]
fn a_file_with_other_bytes_is_refused() {
    let (project, config) = project();
    let artifact = project.collect().unwrap();
    let mut good = Vec::new();
    keep::write(&artifact, &Head::of(&artifact, &config, None, None), &mut good).unwrap();
    let file = project.path("it.shipit");
    let result = runner(250).run(&vec(change(), 1..4), |changes| {
        let bytes = changed(good.clone(), &changes);
        packed(&file, &bytes);
        match Kept::open(&file, &config).and_then(|kept| kept.read(&config, true)) {
            Err(error) => prop_assert!(!error.to_string().chars().any(|c| c.is_control() && c != '\n'), "{:?}", error),
            // A change of what nobody reads: behind the end of a name in a header.
            Ok(read) => prop_assert!(read.hash == artifact.hash && read.entries.len() == 4),
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    packed(&file, &good);
    let read = Kept::open(&file, &config).and_then(|kept| kept.read(&config, true)).unwrap();
    assert_eq!(read.entries.len(), 4, "as it was written it is read");
}

#[test]
fn a_file_that_is_whole_and_hostile_leads_nowhere() {
    let (project, config) = project();
    let artifact = project.collect().unwrap();
    let sample = artifact.entries.iter().find(|entry| entry.dest == Path::new("index.html")).unwrap().kind.clone();
    let file = project.path("it.shipit");
    let part = select(vec!["..", ".", "", "a", "b", "\n", "\\0056", " ", "x\ty", "/"]);
    let path = vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let kinds = prop_oneof![
        2 => Just(sample),
        2 => Just(EntryKind::Dir),
        2 => path.clone().prop_map(|target| EntryKind::Link { target: target.into() }),
    ];
    let plain = select(vec!["a", "b", "a/a", "a/b", "b/a", "a/a/a"]).prop_map(str::to_owned);
    let entry = (prop_oneof![2 => plain, 1 => path], kinds);
    let accepted = Cell::new(0);
    let result = runner(400).run(&vec(entry, 1..5), |made| {
        let mut entries: Vec<Entry> = made.into_iter().map(|(dest, kind)| Entry { dest: dest.into(), kind }).collect();
        entries.sort_by(|a, b| a.dest.as_os_str().as_bytes().cmp(b.dest.as_os_str().as_bytes()));
        entries.dedup_by(|a, b| a.dest.as_os_str() == b.dest.as_os_str());
        let hash = sha256(&manifest::content(&entries));
        let forged = Artifact { entries, hash: hash.clone(), ..artifact.clone() };
        let mut head = Head::of(&forged, &config, None, None);
        head.forge(&hash, &config);
        let mut bytes = Vec::new();
        // What no archive can hold is no danger.
        if keep::write(&forged, &head, &mut bytes).is_err() {
            return Ok(());
        }
        packed(&file, &bytes);
        if let Ok(read) = Kept::open(&file, &config).and_then(|kept| kept.read(&config, true)) {
            accepted.set(accepted.get() + 1);
            lies_inside(&read)?;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.get() > 10, "the test itself writes files that can be read: {}", accepted.get());
}
