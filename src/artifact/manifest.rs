//! One line for each path of a release, by which a host checks what it received.
//! The form is fixed by the host's script: fields end at a space, so only the last one may hold any.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use super::hash::sha256;
use super::{Artifact, Entry, EntryKind, Extra, Modes};

/// What lies at a path of the release, artifact and extra files alike.
pub(super) enum Member<'a> {
    Shipped(&'a EntryKind),
    Extra(&'a [u8]),
}

/// All paths of the release in the order of manifest and archive; an extra file replaces a shipped one.
pub(super) fn members<'a>(entries: &'a [Entry], extra: &'a [Extra]) -> BTreeMap<&'a [u8], Member<'a>> {
    let shipped = entries.iter().map(|entry| (entry.dest.as_os_str().as_bytes(), Member::Shipped(&entry.kind)));
    let extra = extra.iter().map(|(path, content)| (path.as_bytes(), Member::Extra(content)));
    shipped.chain(extra).collect()
}

/// The manifest: `f MODE SIZE SHA256 PATH`, `d MODE - - PATH` or `l - - - PATH<TAB>TARGET`, sorted by path.
pub fn manifest(artifact: &Artifact, modes: Modes, extra: &[Extra]) -> Vec<u8> {
    let (dir, file, program) = modes;
    let mode = |what: What| match what {
        What::Dir => format!("{dir:04o}"),
        What::File => format!("{file:04o}"),
        What::Program => format!("{program:04o}"),
    };
    lines(&artifact.entries, extra, mode)
}

/// The manifest without modes: what the artifact's own hash is made of.
pub(super) fn content(entries: &[Entry]) -> Vec<u8> {
    let mode = |what: What| match what {
        What::Dir | What::File => "-".into(),
        What::Program => "x".into(),
    };
    lines(entries, &[], mode)
}

enum What {
    Dir,
    File,
    Program,
}

fn lines(entries: &[Entry], extra: &[Extra], mode: impl Fn(What) -> String) -> Vec<u8> {
    let mut text = Vec::new();
    for (path, member) in members(entries, extra) {
        let fields = match &member {
            Member::Shipped(EntryKind::Dir) => format!("d {} - - ", mode(What::Dir)),
            Member::Shipped(EntryKind::Link { .. }) => "l - - - ".into(),
            Member::Shipped(EntryKind::File { size, sha256, executable, .. }) => {
                let what = if *executable { What::Program } else { What::File };
                format!("f {} {size} {sha256} ", mode(what))
            }
            Member::Extra(content) => format!("f {} {} {} ", mode(What::File), content.len(), sha256(content)),
        };
        text.extend_from_slice(fields.as_bytes());
        text.extend(escape(path));
        if let Member::Shipped(EntryKind::Link { target }) = member {
            text.push(b'\t');
            text.extend(escape(target.as_os_str().as_bytes()));
        }
        text.push(b'\n');
    }
    text
}

/// A path without raw newline, tab, carriage return or lone backslash; a shell's `printf '%b'` gives it back.
pub fn escape(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' | b'\t' | b'\r' => text.extend_from_slice(format!("\\0{byte:03o}").as_bytes()),
            _ => text.push(byte),
        }
    }
    text
}

/// The path that `escape` made this text of; none where it is no such text.
pub(super) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            path.push(byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            path.push(b'\\');
            rest = after;
        } else {
            let (digits, after) = rest.strip_prefix(b"0")?.split_at_checked(3)?;
            path.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
            rest = after;
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn artifact() -> Artifact {
        let file = |sha256: &str, executable| EntryKind::File {
            source: PathBuf::from("/src").into(),
            size: 3,
            sha256: sha256.into(),
            executable,
        };
        let entry = |dest: &str, kind| Entry { dest: dest.into(), kind };
        Artifact {
            entries: vec![
                entry("a", EntryKind::Dir),
                entry("a-b", file("00", true)),
                entry("a/b c", file("11", false)),
                entry("z\\", EntryKind::Link { target: "a/\n\t\r".into() }),
            ],
            app_dir: String::new(),
            hash: String::new(),
            script: None,
            env: Default::default(),
            mutable: vec![],
            assets: Vec::new(),
            deployment: None,
            warnings: vec![],
        }
    }

    #[test]
    fn a_line_for_each_path_in_the_order_of_bytes() {
        let extra = [(".release.json".to_owned(), b"{}".to_vec())];
        let text = String::from_utf8(manifest(&artifact(), (0o750, 0o640, 0o750), &extra)).unwrap();
        let release = sha256(b"{}");
        assert_eq!(
            text,
            format!(
                "f 0640 2 {release} .release.json\n\
                 d 0750 - - a\n\
                 f 0750 3 00 a-b\n\
                 f 0640 3 11 a/b c\n\
                 l - - - z\\\\\ta/\\0012\\0011\\0015\n"
            )
        );
    }

    #[test]
    fn what_was_escaped_is_given_back() {
        for path in [&b"a\\b\n\t\r \xff"[..], b"\\0012", b""] {
            assert_eq!(unescape(&escape(path)).as_deref(), Some(path));
        }
        for text in [&b"\\"[..], b"\\0", b"\\08", b"\\0999", b"\\x41"] {
            assert_eq!(unescape(text), None);
        }
    }

    #[test]
    fn the_content_knows_execute_bits_and_no_modes() {
        let text = String::from_utf8(content(&artifact().entries)).unwrap();
        assert!(text.contains("f x 3 00 a-b\n") && text.contains("f - 3 11 a/b c\n"), "{text}");
    }
}
