//! Reads every file once and hashes it, on all cores.
//! The same reading gives the size: what `stat` says may already be another version of the file.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use super::tree::{Node, Tree, path};
use super::{Entry, EntryKind, unread};
use crate::error::Result;

/// The tree with its files' sizes and hashes.
pub(super) fn entries(tree: Tree) -> Result<Vec<Entry>> {
    let sources: Vec<&Path> = tree
        .values()
        .filter_map(|node| match node {
            Node::File { source, .. } => Some(source.as_path()),
            Node::Dir | Node::Link { .. } => None,
        })
        .collect();
    let mut hashes = all(&sources)?.into_iter();
    let mut entries = Vec::with_capacity(tree.len());
    for (dest, node) in tree {
        let kind = match node {
            Node::Dir => EntryKind::Dir,
            Node::Link { target } => EntryKind::Link { target },
            Node::File { source, executable } => {
                let (size, sha256) = hashes.next().expect("one hash for each file");
                EntryKind::File { source: source.into(), size, sha256, executable }
            }
        };
        entries.push(Entry { dest: path(dest), kind });
    }
    Ok(entries)
}

/// Size and hash of each source, in their order.
fn all(sources: &[&Path]) -> Result<Vec<(u64, String)>> {
    let threads = thread::available_parallelism().map_or(2, NonZero::get).max(2);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        while let Some((i, source)) = take(sources, &next) {
            done.push((i, one(source, &mut buffer)?));
        }
        Ok(done)
    };
    let mut hashes = vec![(0, String::new()); sources.len()];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let done = worker.join().expect("hashing does not panic")?;
            for (i, hash) in done {
                hashes[i] = hash;
            }
        }
        Ok(hashes)
    })
}

fn take<'a>(sources: &[&'a Path], next: &AtomicUsize) -> Option<(usize, &'a Path)> {
    let i = next.fetch_add(1, Ordering::Relaxed);
    sources.get(i).map(|source| (i, *source))
}

fn one(path: &Path, buffer: &mut [u8]) -> Result<(u64, String)> {
    let failed = |source| unread(path, "read", source);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        match file.read(buffer).map_err(failed)? {
            0 => return Ok((size, text(&hasher.finalize()))),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

/// A finished hash in lower-case hex, as `sha256sum` writes it.
pub(super) fn text(hash: &[u8]) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::with_capacity(2 * hash.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
