//! The artifact file: what goes in comes out, and nothing else gets in.

#![cfg(test)]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::fixture::Project;
use super::keep::{self, Head};
use super::{Artifact, EntryKind, Kept, keep as write_file};
use crate::config::{Config, Preset};
use crate::error::Error;

/// A config of one stage, with `more` in `[build]` and after it.
fn config(project: &Project, more: &str) -> Config {
    let file = project.path("deploy.toml");
    let text = format!(
        "app = \"blog\"\n[build]\npreset = \"files\"\noutput = \"out\"\n{more}\n[stages.x]\nhosts = [\"local\"]\npath = \"home\"\n"
    );
    fs::write(&file, text).unwrap();
    Config::load(&file, None, &|_| None).unwrap()
}

fn project() -> Project {
    let mut project = Project::new(Preset::Files);
    project.build.output = Some("out".into());
    let deep = format!("out/{}/{}/end", "d".repeat(90), "e".repeat(90));
    project.file("out/a.js", "one").file("out/sub/b", "two").file("out/sub/new\nline", "odd").file(&deep, "end");
    project.program("out/run").link("out/sub/self", "../a.js");
    project
}

fn written(project: &Project, config: &Config) -> (Artifact, PathBuf) {
    let artifact = project.collect().unwrap();
    let head = Head::of(&artifact, config, Some("abc+".into()), Some("main".into()));
    let file = project.path("blog.tar.zst");
    write_file(&artifact, &head, &file).unwrap();
    (artifact, file)
}

/// The file as it would be with other bytes in its tar.
fn tampered(file: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut tar = Vec::new();
    zstd::stream::read::Decoder::new(fs::File::open(file).unwrap()).unwrap().read_to_end(&mut tar).unwrap();
    change(&mut tar);
    let mut out = zstd::stream::write::Encoder::new(fs::File::create(file).unwrap(), 1).unwrap();
    out.write_all(&tar).unwrap();
    out.finish().unwrap();
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let found: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
}

fn said(error: &Error) -> String {
    format!("{error} / {}", error.hint())
}

#[test]
fn what_was_kept_is_what_is_read() {
    let project = project();
    let config = config(&project, "");
    let (artifact, file) = written(&project, &config);
    let bytes = fs::read(&file).unwrap();
    let kept = Kept::open(&file, &config).unwrap();
    assert_eq!((kept.head().commit.as_deref(), kept.head().branch.as_deref()), (Some("abc+"), Some("main")));
    let read = kept.read(&config, true).unwrap();
    assert_eq!((read.hash.as_str(), read.files(), read.bytes()), (artifact.hash.as_str(), 5, artifact.bytes()));
    for (was, is) in artifact.entries.iter().zip(&read.entries) {
        assert_eq!(was.dest, is.dest);
        match (&was.kind, &is.kind) {
            (EntryKind::File { source: a, .. }, EntryKind::File { source: b, .. }) => {
                assert_eq!(a.read().unwrap(), b.read().unwrap());
            }
            (a, b) => assert_eq!(a, b),
        }
    }
    assert!(kept.read(&config, false).is_ok());

    // Again, over the old one, and from other times: the same bytes.
    fs::File::options()
        .append(true)
        .open(project.path("out/a.js"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    written(&project, &config);
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let beside: Vec<_> = fs::read_dir(project.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().starts_with(".shipit-")), "{beside:?}");
}

#[test]
fn a_file_that_can_not_be_written_leaves_the_old_one() {
    let project = project();
    let config = config(&project, "");
    let (artifact, file) = written(&project, &config);
    let bytes = fs::read(&file).unwrap();
    fs::write(project.path("out/a.js"), "eno").unwrap();
    let head = Head::of(&artifact, &config, None, None);
    let error = write_file(&artifact, &head, &file).unwrap_err();
    assert!(said(&error).contains("a.js` was changed or removed while it was being packed"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let inside = project.path("out/blog.tar.zst");
    fs::write(&inside, "").unwrap();
    let artifact = project.collect().unwrap();
    assert!(said(&write_file(&artifact, &head, &inside).unwrap_err()).contains("would ship itself"));
}

#[test]
fn another_stages_settings_are_refused_and_never_told() {
    let project = project();
    let built = config(&project, "env = { API = 'https://a.example', KEY = 'secret-value' }\nexclude = ['x']");
    let (_, file) = written(&project, &built);
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    assert!(Kept::open(&file, &built).is_ok());
    for (more, named) in [
        ("env = { API = 'https://b.example', KEY = 'secret-value' }\nexclude = ['x']", "build.env.API"),
        ("env = { API = 'https://a.example' }\nexclude = ['x']", "build.env.KEY"),
        ("env = { API = 'https://a.example', KEY = 'secret-value', NEW = '' }\nexclude = ['x']", "build.env.NEW"),
        ("env = { API = 'https://a.example', KEY = 'secret-value' }", "build.exclude"),
        (
            "env = { API = 'https://a.example', KEY = 'secret-value' }\nexclude = ['x']\ncommand = 'make'",
            "build.command",
        ),
    ] {
        let other = config(&project, more);
        let error = Kept::open(&file, &other).unwrap_err();
        let text = said(&error);
        assert!(text.contains(named) && text.contains("shipit build x -o"), "{text}");
        assert!(!text.contains("secret-value") && error.exit_code() == 2, "{text}");
    }
    let toml = fs::read_to_string(project.path("deploy.toml")).unwrap().replace("\"blog\"", "\"shop\"");
    fs::write(project.path("deploy.toml"), toml).unwrap();
    let other = Config::load(&project.path("deploy.toml"), None, &|_| None).unwrap();
    assert!(said(&Kept::open(&file, &other).unwrap_err()).contains("holds the app `blog`, this is `shop`"));
}

#[test]
fn a_stage_shares_what_it_shares() {
    let project = project();
    let (_, file) = written(&project, &config(&project, ""));
    let shares = config(&project, "[shared]\nfiles = ['a.js']\ndirs = ['sub']");
    // The link would lead to what the host keeps: that is its matter.
    let artifact = Kept::open(&file, &shares).unwrap().read(&shares, true).unwrap();
    assert!(!artifact.entries.iter().any(|entry| entry.dest == Path::new("a.js")));

    let mut own = project;
    own.shared.files = vec!["a.js".into()];
    let (_, file) = written(&own, &shares);
    let error = Kept::open(&file, &config(&own, "")).unwrap_err();
    assert!(said(&error).contains("leaves `a.js` to the shared files, which stage x does not"), "{error}");
    let starts = config(&own, "[shared]\nfiles = ['a.js']\n[service.pm2]\nscript = 'gone.js'");
    let error = Kept::open(&file, &starts).unwrap().read(&starts, true).unwrap_err();
    assert!(said(&error).contains("the service starts `gone.js`"), "{error}");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let project = project();
    let config = config(&project, "");
    let (_, file) = written(&project, &config);
    let good = fs::read(&file).unwrap();
    let refused = |what: &str| {
        let error = Kept::open(&file, &config).and_then(|kept| kept.read(&config, true)).unwrap_err();
        assert!(said(&error).contains(what), "{what}: {}", said(&error));
        assert!(matches!(error.exit_code(), 1 | 2));
    };
    for cut in (1..good.len()).step_by(61).chain([good.len() - 1]) {
        fs::write(&file, &good[..cut]).unwrap();
        refused("`");
    }
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&file, &bad).unwrap();
        let read = Kept::open(&file, &config).and_then(|kept| kept.read(&config, true));
        assert!(read.is_err(), "a changed byte at {at} is noticed");
    }
    fs::write(&file, b"not an archive").unwrap();
    refused("is no artifact file");

    type Change = fn(&mut Vec<u8>);
    let changes: &[(Change, &str)] = &[
        (|tar| replace(tar, b"\"format\":1", b"\"format\":7"), "made by a newer shipit: its format is 7"),
        (|tar| replace(tar, b"#!/bin/sh", b"#!/bin/ed"), "`run` is not what its manifest says"),
        (|tar| replace(tar, b" a.js\n", b" ../x\n"), "its manifest is not the one that its head names"),
        (|tar| replace(tar, b"tree/a.js", b"tree/../x"), "`a.js` is not what follows in it"),
        (|tar| tar.extend([0; 512]), "1 byte more follow its end"),
        (|tar| tar.truncate(tar.len() - 600), "it ends too early"),
    ];
    for (change, what) in changes {
        fs::write(&file, &good).unwrap();
        tampered(&file, change);
        refused(what);
    }
}

/// A file whose head and manifest agree, and which holds what no build makes.
fn forged(project: &Project, config: &Config, lines: &str) -> Error {
    let (artifact, file) = written(project, config);
    let hash = super::hash::sha256(lines.as_bytes());
    let mut head = Head::of(&artifact, config, None, None);
    head.forge(&hash, config);
    let mut tar = Vec::new();
    let empty = Artifact { entries: Vec::new(), ..artifact };
    keep::write(&empty, &head, &mut tar).unwrap();
    let manifest = tar.windows(9).position(|window| window == b"manifest\0").unwrap();
    let mut out = tar[..manifest].to_vec();
    let mut writer = super::archive::Tar::new(&mut out, 0);
    writer.bytes(b"manifest", 0o644, lines.as_bytes()).unwrap();
    writer.end().unwrap();
    let mut encoder = zstd::stream::write::Encoder::new(fs::File::create(&file).unwrap(), 1).unwrap();
    encoder.write_all(&out).unwrap();
    encoder.finish().unwrap();
    Kept::open(&file, config).unwrap().read(config, true).unwrap_err()
}

#[test]
fn nothing_gets_out_of_a_forged_file() {
    let project = project();
    let config = config(&project, "");
    let sha = "0".repeat(64);
    for (lines, why) in [
        (format!("f - 0 {sha} ../x\n"), "names what can't be in a release"),
        (format!("f - 0 {sha} /etc/x\n"), "names what can't be in a release"),
        (format!("f - 0 {sha} a//x\n"), "names what can't be in a release"),
        (format!("f - 0 {sha} a/./x\n"), "names what can't be in a release"),
        ("b - - - dev\n".to_owned(), "names what can't be in a release"),
        (format!("l - - - a\tb\nf - 0 {sha} a/x\n"), "`a/x` lies in what is no folder"),
        (format!("f - 0 {sha} a/x\n"), "`a/x` lies in what is no folder"),
    ] {
        let text = said(&forged(&project, &config, &lines));
        assert!(text.contains(why), "{lines}: {text}");
    }
}
