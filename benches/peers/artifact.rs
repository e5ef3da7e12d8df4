//! What is deployed: pairs of trees that differ as two builds do. Made from numbers alone, so that every machine
//! measures the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Two builds of one app, before and after a change.
#[derive(Debug)]
pub(crate) struct Pair {
    builds: [PathBuf; 2],
}

/// The measures of a made tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) files: usize,
    pub(crate) bytes: usize,
    /// How many of the files the change touches, and their bytes.
    pub(crate) changed: usize,
    pub(crate) changed_bytes: usize,
}

/// A Next.js app of middle size with its packages, and what a changed line alters in it.
pub(crate) const NEXT: Shape = Shape { files: 1_294, bytes: 38_000_000, changed: 45, changed_bytes: 157_000 };
/// Many files, of which every hundredth changes.
pub(crate) const LARGE: Shape = Shape { files: 20_000, bytes: 500_000_000, changed: 200, changed_bytes: 5_000_000 };

/// Hardly anything, to see that all goes as it should.
pub(crate) const SMALL: Shape = Shape { files: 60, bytes: 300_000, changed: 3, changed_bytes: 6_000 };

/// Of the changed files, each of this many has the hash of its content in its name.
const NAMED_BY_CONTENT: usize = 9;

impl Pair {
    /// Writes both builds below `dir`.
    pub(crate) fn make(dir: &Path, shape: &Shape) -> Pair {
        let builds = ["old", "new"].map(|version| {
            let build = dir.join(version);
            shape.write(&build, version);
            build
        });
        Pair { builds }
    }

    /// Two builds that are there already.
    pub(crate) fn given(old: &str, new: &str) -> Pair {
        Pair { builds: [old, new].map(|build| Path::new(build).canonicalize().expect("--pair names two folders")) }
    }

    /// How many bytes the content is, compressed by gzip, that only the second build has.
    pub(crate) fn changed(&self) -> u64 {
        let contents = |build: &PathBuf| {
            let entries = walkdir::WalkDir::new(build).sort_by_file_name().into_iter();
            let files = entries
                .map(|entry| entry.expect("the builds are readable"))
                .filter(|entry| entry.file_type().is_file());
            files.map(|file| fs::read(file.path()).expect("the builds are readable")).collect::<BTreeSet<_>>()
        };
        let [old, new] = [contents(&self.builds[0]), contents(&self.builds[1])];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        new.difference(&old).for_each(|content| gzip.write_all(content).expect("memory"));
        gzip.finish().expect("memory").len() as u64
    }

    /// Makes `dir` a fresh copy of one of them (0 or 1), as a checkout does: every time stamp is new.
    pub(crate) fn lay(&self, which: usize, dir: &Path) {
        let _ = fs::remove_dir_all(dir);
        for entry in walkdir::WalkDir::new(&self.builds[which]) {
            let entry = entry.expect("the builds are readable");
            let to = dir.join(entry.path().strip_prefix(&self.builds[which]).expect("below it"));
            let kind = entry.file_type();
            if kind.is_dir() {
                fs::create_dir_all(&to).expect("the project is writable");
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path()).expect("a link"), &to).expect("writable");
            } else {
                fs::copy(entry.path(), &to).expect("the project is writable");
            }
        }
    }
}

impl Shape {
    fn write(&self, dir: &Path, version: &str) {
        let pool = Pool::new();
        let step = self.files / self.changed;
        let change = |n: usize| (n % step == step / 2 && n / step < self.changed).then_some(n / step);
        // Few large files, many small ones, as in node_modules.
        let weight = |n: usize| 2_f64.powf(Numbers::of(n).next() as f64 / u64::MAX as f64 * 9.0);
        let total: f64 = (0..self.files).filter(|n| change(*n).is_none()).map(weight).sum();
        for n in 0..self.files {
            let size = match change(n) {
                Some(_) => self.changed_bytes / self.changed,
                None => ((self.bytes - self.changed_bytes) as f64 * weight(n) / total) as usize,
            };
            let name = match change(n) {
                Some(nth) if nth % NAMED_BY_CONTENT == 0 => format!("chunk-{n}.{version}.js"),
                _ => format!("module-{n}.js"),
            };
            let folder = dir.join(format!("node_modules/package-{}/lib", n / 20));
            fs::create_dir_all(&folder).expect("the area is writable");
            let mut text = Vec::with_capacity(size + 32);
            if change(n).is_some() {
                writeln!(text, "// build {version}").expect("memory");
            }
            Numbers::of(n).script(&pool, size, &mut text);
            fs::write(folder.join(name), text).expect("the area is writable");
        }
    }
}

/// Numbers that look like chance and are the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn of(n: usize) -> Numbers {
        Numbers((n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Text of `size` bytes that a compressor finds about as hard as programs: common and rare words, and pieces that
    /// stand in many files, as packages bring them.
    fn script(&mut self, pool: &Pool, size: usize, text: &mut Vec<u8>) {
        let end = text.len() + size;
        while text.len() < end {
            let number = self.next();
            match number >> 8 & 63 {
                0 => text.extend_from_slice(&pool.pieces[(number >> 16) as usize % pool.pieces.len()]),
                _ => self.word(&pool.words, text),
            }
        }
        text.truncate(end);
    }

    fn word(&mut self, words: &[String], text: &mut Vec<u8>) {
        const GLUE: [&str; 8] = [".", "(", ");", " = ", ", ", "{", "};\n", " => "];
        let number = self.next();
        // Squared, so that some are common and most are rare.
        let chance = (number >> 32) as f64 / f64::from(u32::MAX);
        text.extend_from_slice(words[(chance * chance * (words.len() - 1) as f64) as usize].as_bytes());
        text.extend_from_slice(GLUE[(number & 7) as usize].as_bytes());
    }
}

/// What programs are made of.
struct Pool {
    words: Vec<String>,
    pieces: Vec<Vec<u8>>,
}

impl Pool {
    fn new() -> Pool {
        const PARTS: [&str; 16] = [
            "get", "set", "node", "value", "render", "Props", "State", "Error", "async", "module", "exports",
            "Context", "handle", "request", "Response", "index",
        ];
        let mut numbers = Numbers::of(0);
        let part = |number: u64, shift: u32| PARTS[(number >> shift & 15) as usize];
        let words: Vec<String> = (0..4_000)
            .map(|n| match (n % 2, numbers.next()) {
                (0, number) => format!("{}{}", part(number, 8), part(number, 16)),
                // As a minifier names things.
                (_, number) => format!("{}{:x}", (b'a' + (number >> 8) as u8 % 26) as char, number >> 24 & 255),
            })
            .collect();
        let pieces = (0..6_000)
            .map(|_| {
                let mut piece = Vec::new();
                (0..40).for_each(|_| numbers.word(&words, &mut piece));
                piece
            })
            .collect();
        Pool { words, pieces }
    }
}
