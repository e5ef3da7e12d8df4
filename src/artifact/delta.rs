//! Which files a host needs to be sent, and from what it makes the others: the decision alone, from the new release's
//! manifest and what the host told of its own. What a host tells is never trusted: the worst that a wrong word leads to
//! is a release that doesn't match its manifest, which the host finds out before it gets its name.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;

use super::Mutable;
use super::manifest::unescape;
use crate::event::Amount;

/// The most entries that a host's telling may have.
const ENTRIES: usize = 300_000;

/// What lies on a host: the manifest of its live release, what of that is not as released, and what cut uploads left.
#[derive(Clone, Debug, Default)]
pub struct Held {
    manifest: Vec<u8>,
    damaged: HashSet<Vec<u8>>,
    incoming: HashMap<Vec<u8>, Vec<u8>>,
}

/// What becomes of one entry of the new release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It travels.
    Sent,
    /// The same path of the live release has it; it is copied.
    Kept,
    /// The same path of the live release is it: one file with two names.
    Linked,
    /// Another path has its content.
    Copied,
}

/// The way from what a host has to the new release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Lines for the host: `k N` keeps and `d N` drops N lines of its manifest, `K N` keeps them for files that may be
    /// linked, `+LINE` is a new one, `=PATH<TAB>LINE` a
    /// new one whose content lies at PATH of the live release, `~PATH<TAB>LINE` one whose content lies in incoming/.
    pub text: Vec<u8>,
    /// One for each line of the new manifest.
    pub fates: Vec<Fate>,
    /// Files that travel.
    pub sent: Amount,
    /// Files that don't.
    pub reused: Amount,
}

impl Held {
    /// Reads what a host told: its manifest's lines, `b PATH` for each file that is not as released, `h SHA256 PATH` for
    /// each in incoming/, and `e` at the end. None where that was cut or is out of bounds.
    pub fn parse(told: &[u8]) -> Option<Held> {
        let told = told.strip_suffix(b"e\n")?;
        let mut held = Held::default();
        for (number, line) in told.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let text = line.strip_suffix(b"\n")?;
            match text {
                _ if number >= ENTRIES => return None,
                [b'b', b' ', path @ ..] => {
                    held.damaged.insert(path.to_vec());
                }
                [b'h', b' ', rest @ ..] if rest.len() > 65 => {
                    held.incoming.insert(rest[..64].to_vec(), rest[65..].to_vec());
                }
                _ => held.manifest.extend_from_slice(line),
            }
        }
        // Who can't say which files are damaged says that all are.
        if held.damaged.contains(&b"."[..]) || lines(&held.manifest).is_none() {
            held.manifest.clear();
        }
        Some(held)
    }

    /// Whether nothing of it can be of any use.
    pub fn is_empty(&self) -> bool {
        self.manifest.is_empty() && self.incoming.is_empty()
    }

    /// Whether a live release is part of it.
    pub fn has_release(&self) -> bool {
        !self.manifest.is_empty()
    }
}

/// One line of a manifest.
struct Line<'a> {
    text: &'a [u8],
    kind: u8,
    size: u64,
    sha256: &'a [u8],
    /// As it stands there.
    path: &'a [u8],
    /// As it is, by which lines are ordered.
    key: Vec<u8>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a [u8]) -> Option<Line<'a>> {
        let mut fields = text.splitn(5, |byte| *byte == b' ');
        let (kind, _mode, size, sha256, rest) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let path = rest.split(|byte| *byte == b'\t').next()?;
        let size = match kind {
            b"f" if sha256.len() == 64 => std::str::from_utf8(size).ok()?.parse().ok()?,
            b"d" | b"l" => 0,
            _ => return None,
        };
        Some(Line { text, kind: kind[0], size, sha256, path, key: unescape(path) })
    }

    /// Whether a host's line-based tools can take it from one place to another: a name that had to be escaped they can't.
    fn is_plain(&self) -> bool {
        !self.text.contains(&b'\\')
    }
}

/// The lines of a manifest, none where one is not as it should be or they are out of order.
fn lines(manifest: &[u8]) -> Option<Vec<Line<'_>>> {
    let mut all: Vec<Line<'_>> = Vec::new();
    for text in manifest.strip_suffix(b"\n").into_iter().flat_map(|text| text.split(|byte| *byte == b'\n')) {
        let line = Line::parse(text)?;
        if all.last().is_some_and(|last| last.key >= line.key) {
            return None;
        }
        all.push(line);
    }
    (manifest.is_empty() || !all.is_empty()).then_some(all)
}

/// What has to be sent to a host that has `held` for the release with this manifest. None where nothing is gained. Files
/// are linked only where `links` is given: with what of the new release is mutable.
pub fn delta(manifest: &[u8], held: &Held, links: Option<&Mutable>) -> Option<Delta> {
    let (wanted, base) = (lines(manifest)?, lines(&held.manifest)?);
    let whole = |line: &Line<'_>| line.kind == b'f' && line.is_plain() && !held.damaged.contains(line.path);
    let mut sources: HashMap<&[u8], &[u8]> = HashMap::new();
    for line in base.iter().filter(|line| whole(line)) {
        sources.entry(line.sha256).or_insert(line.path);
    }
    let mut delta = Delta::default();
    let mut runs = Runs::default();
    let mut base = base.iter().peekable();
    for line in &wanted {
        runs.add(&mut delta.text, b'd', drop_before(&mut base, &line.key));
        let old = base.next_if(|old| old.key == line.key);
        let usable = |old: &Line<'_>| line.kind != b'f' || whole(old);
        if old.is_some_and(|old| old.text == line.text && line.is_plain() && usable(old)) {
            let fate = match line.kind {
                b'l' => Fate::Sent,
                b'f' if links.is_some_and(|mutable| is_immutable(line.path) && !mutable.names(line.path)) => {
                    Fate::Linked
                }
                _ => Fate::Kept,
            };
            runs.add(&mut delta.text, if fate == Fate::Linked { b'K' } else { b'k' }, 1);
            delta.take(line, fate);
            continue;
        }
        runs.add(&mut delta.text, b'd', usize::from(old.is_some()));
        runs.end(&mut delta.text);
        let own = old.filter(|old| old.sha256 == line.sha256 && whole(old)).map(|old| old.path);
        let is_source = line.kind == b'f' && line.is_plain();
        let here = own.or_else(|| sources.get(line.sha256).copied()).filter(|_| is_source).map(|path| (b'=', path));
        let left = || held.incoming.get(line.sha256).filter(|path| is_source && movable(path));
        let fate = match here.or_else(|| left().map(|path| (b'~', path.as_slice()))) {
            Some((mark, path)) => {
                delta.text.push(mark);
                delta.text.extend_from_slice(path);
                delta.text.push(b'\t');
                if own.is_some() { Fate::Kept } else { Fate::Copied }
            }
            None => {
                delta.text.push(b'+');
                Fate::Sent
            }
        };
        delta.text.extend_from_slice(line.text);
        delta.text.push(b'\n');
        delta.take(line, fate);
    }
    runs.add(&mut delta.text, b'd', base.count());
    runs.end(&mut delta.text);
    (delta.reused.files > 0).then_some(delta)
}

/// Whether it lies in a tree that nobody writes to once it is made: installed packages, and assets named by their content.
/// Tools keep caches in hidden folders of `node_modules`; pnpm keeps the packages there.
fn is_immutable(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let hidden = |part: &[u8]| part.starts_with(b".") && part != b".pnpm";
    let folders = &parts[..parts.len() - 1];
    let is_installed = folders.contains(&&b"node_modules"[..])
        && !parts.windows(2).any(|pair| pair[0] == b"node_modules" && hidden(pair[1]));
    let is_named_by_content =
        folders.contains(&&b"_astro"[..]) || folders.windows(2).any(|pair| pair[0] == b".next" && pair[1] == b"static");
    is_installed || is_named_by_content
}

/// A path of incoming/ as it can stand in a line.
fn movable(path: &[u8]) -> bool {
    !path.iter().any(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r'))
}

fn drop_before<'a>(base: &mut Peekable<impl Iterator<Item = &'a Line<'a>>>, key: &[u8]) -> usize {
    let mut dropped = 0;
    while base.next_if(|old| old.key.as_slice() < key).is_some() {
        dropped += 1;
    }
    dropped
}

impl Delta {
    fn take(&mut self, line: &Line<'_>, fate: Fate) {
        self.fates.push(fate);
        if line.kind == b'f' {
            if fate == Fate::Sent { &mut self.sent } else { &mut self.reused }.add(line.size);
        }
    }
}

/// Neighbours of the same kind share a line.
#[derive(Default)]
struct Runs {
    mark: u8,
    length: usize,
}

impl Runs {
    fn add(&mut self, text: &mut Vec<u8>, mark: u8, length: usize) {
        if length > 0 && self.mark != mark {
            self.end(text);
            self.mark = mark;
        }
        self.length += length;
    }

    fn end(&mut self, text: &mut Vec<u8>) {
        if self.length > 0 {
            text.push(self.mark);
            text.extend_from_slice(format!(" {}\n", self.length).as_bytes());
        }
        *self = Runs::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(letter: char) -> String {
        letter.to_string().repeat(64)
    }

    fn file(letter: char, path: &str) -> String {
        format!("f 0640 3 {} {path}\n", sha(letter))
    }

    fn of(wanted: &str, told: &str) -> (String, Vec<Fate>) {
        linked(wanted, told, None)
    }

    fn linked(wanted: &str, told: &str, links: Option<&Mutable>) -> (String, Vec<Fate>) {
        let held = Held::parse(format!("{told}e\n").as_bytes()).unwrap();
        let delta = delta(wanted.as_bytes(), &held, links).unwrap_or_default();
        (String::from_utf8(delta.text).unwrap(), delta.fates)
    }

    #[test]
    fn what_a_host_has_under_any_name_is_not_sent() {
        let base = ["d 0750 - - a\n", &file('a', "a/old"), &file('b', "b"), &file('c', "c"), "l - - - z\tb\n"].concat();
        let new = [
            "d 0750 - - a\n",
            &file('a', "a/new"),
            &file('b', "b"),
            &file('d', "c"),
            &file('e', "e"),
            "l - - - z\tb\n",
        ]
        .concat();
        let left = format!("h {} 1/some where\n", sha('e'));
        let (text, fates) = of(&new, &(base + &left));
        let expected = format!(
            "k 1\n=a/old\t{}d 1\nk 1\nd 1\n+{}~1/some where\t{}k 1\n",
            file('a', "a/new"),
            file('d', "c"),
            file('e', "e")
        );
        assert_eq!(text, expected);
        assert_eq!(fates, [Fate::Kept, Fate::Copied, Fate::Kept, Fate::Sent, Fate::Copied, Fate::Sent]);
    }

    #[test]
    fn what_is_damaged_or_oddly_named_is_no_source() {
        let base = [&file('a', "a")[..], &file('b', "b\\0012"), &file('c', "c")].concat();
        let new = [&file('a', "a")[..], &file('b', "b\\0012"), &file('c', "c"), &file('a', "d")].concat();
        let (text, _) = of(&new, &(base.clone() + "b a\n"));
        let expected = format!("d 1\n+{}d 1\n+{}k 1\n+{}", file('a', "a"), file('b', "b\\0012"), file('a', "d"));
        assert_eq!(text, expected);
        assert_eq!(of(&new, &(base + "b .\n")), (String::new(), vec![]), "all of it may be damaged");
    }

    #[test]
    fn another_mode_needs_no_content() {
        let base = file('a', "a");
        let new = base.replace("0640", "0644");
        assert_eq!(of(&new, &base), (format!("d 1\n=a\t{new}"), vec![Fate::Kept]));
    }

    #[test]
    fn only_what_nobody_writes_to_is_linked() {
        let mutable = Mutable::new("", &Default::default(), &["node_modules/own/data".into()], &[]);
        let immutable = ["a/.next/static/x.js", "a/_astro/x.css", "a/node_modules/b/x", "node_modules/.pnpm/b/x"];
        let others = [
            ".next/server/app/index.html",
            ".next/server/static/x",
            "_astro",
            "a/.cache/x",
            "node_modules",
            "node_modules/.cache/x",
            "node_modules/b/node_modules/.cache/x",
            "node_modules/own/data/x",
            "server.js",
            "static/x",
        ];
        for (paths, fate) in [(&immutable[..], Fate::Linked), (&others[..], Fate::Kept)] {
            for path in paths {
                let line = file('a', path);
                let (text, fates) = linked(&line, &line, Some(&mutable));
                assert_eq!(
                    (&*text, &*fates),
                    (if fate == Fate::Linked { "K 1\n" } else { "k 1\n" }, &[fate][..]),
                    "{path}"
                );
                assert_eq!(of(&line, &line).0, "k 1\n");
            }
        }
        // Another mode, another name, another state than it was released in: a file of its own.
        let (old, new) = (file('a', "node_modules/a"), file('a', "node_modules/b"));
        assert_eq!(linked(&old.replace("0640", "0644"), &old, Some(&mutable)).1, [Fate::Kept]);
        assert_eq!(linked(&new, &old, Some(&mutable)).1, [Fate::Copied]);
        let damaged = format!("{}{old}b node_modules/a\n", file('c', "a"));
        assert_eq!(linked(&format!("{}{old}", file('c', "a")), &damaged, Some(&mutable)).1, [Fate::Kept, Fate::Sent]);
    }

    #[test]
    fn what_is_no_manifest_is_no_help() {
        let good = [&file('a', "a")[..], &file('b', "b")].concat();
        for bad in [
            "f 0640 3 xyz a\n".to_owned(),
            format!("{}{}", file('b', "b"), file('a', "a")),
            format!("{}{}", file('a', "a"), file('b', "a")),
            "gone\n".into(),
            "\n".into(),
            good.replace(" 3 ", " three "),
        ] {
            assert!(Held::parse(format!("{bad}e\n").as_bytes()).unwrap().is_empty(), "{bad}");
        }
        assert!(Held::parse(good.as_bytes()).is_none(), "it was cut");
        assert!(Held::parse(b"").is_none());
        assert!(Held::parse(format!("{good}e\n").as_bytes()).unwrap().has_release());
    }
}
