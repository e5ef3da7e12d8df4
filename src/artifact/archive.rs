//! The byte stream that a host receives: manifest, record, and the release as a tar that GNU tar, busybox and
//! toybox all read. GNU headers only: they disagree about PAX and sparse files. Headers are written here rather
//! than by the crate's builder, so that a link's text stays as it is and each failure names its file.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::hash::text;
use super::manifest::{Member, members};
use super::{Artifact, Delta, EntryKind, Extra, Fate, Modes, Source, shown, unread};
use crate::error::{Error, Finding, Result};

pub(super) const BLOCK: usize = 512;
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What goes with the artifact.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// As `manifest` makes it of the same artifact, modes and extra files.
    pub manifest: &'a [u8],
    /// The release's record.
    pub record: &'a [u8],
    /// Files that exist in the release only.
    pub extra: &'a [Extra],
    /// Modes in the release.
    pub modes: Modes,
    /// The time of everything in it, in Unix seconds.
    pub mtime: u64,
    /// What the host makes itself from what it has; none: all of it travels.
    pub delta: Option<&'a Delta>,
}

/// Writes the archive, but for its end. Each file is compared with its hash on the way: one that was changed since is
/// refused, and without `end_archive` a host makes nothing of what was written until then.
pub fn write_archive(artifact: &Artifact, payload: &Payload<'_>, out: &mut impl Write) -> Result<()> {
    let (dir, file, program) = payload.modes;
    let mut tar = Tar::new(out, payload.mtime);
    match payload.delta {
        Some(delta) => tar.bytes(b"delta", 0o600, &delta.text)?,
        None => tar.bytes(b"manifest", 0o600, payload.manifest)?,
    }
    tar.bytes(b"record.json", 0o600, payload.record)?;
    tar.bare(b"tree", EntryType::Directory, dir, b"")?;
    for (number, (path, member)) in members(&artifact.entries, payload.extra).into_iter().enumerate() {
        if payload.delta.is_some_and(|delta| delta.fates[number] != Fate::Sent) {
            continue;
        }
        let name = [b"tree/", path].concat();
        match member {
            Member::Extra(content) => tar.bytes(&name, file, content)?,
            Member::Shipped(EntryKind::Dir) => tar.bare(&name, EntryType::Directory, dir, b"")?,
            Member::Shipped(EntryKind::Link { target }) => {
                tar.bare(&name, EntryType::Symlink, 0o777, target.as_os_str().as_bytes())?;
            }
            Member::Shipped(EntryKind::File { source, size, sha256, executable }) => {
                tar.file(&name, if *executable { program } else { file }, source, *size, sha256)?;
            }
        }
    }
    Ok(())
}

/// Ends the archive with a member by which a host knows that nothing was cut off (its tools agree on no other sign), and,
/// for the record, how many bytes have crossed the wire up to here.
pub fn end_archive(wire: u64, mtime: u64, out: &mut impl Write) -> Result<()> {
    let mut tar = Tar::new(out, mtime);
    tar.bytes(b"whole", 0o600, wire.to_string().as_bytes())?;
    tar.end()
}

/// Members, one after the other.
pub(super) struct Tar<'a, W> {
    pub(super) out: &'a mut W,
    mtime: u64,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Tar<'a, W> {
    /// All members get the time `mtime`, in Unix seconds.
    pub(super) fn new(out: &'a mut W, mtime: u64) -> Tar<'a, W> {
        Tar { out, mtime, buffer: vec![0; 128 * 1024] }
    }

    /// The end of a tar: two empty blocks.
    pub(super) fn end(self) -> Result<()> {
        self.out.write_all(&END).map_err(unwritable)
    }

    pub(super) fn file(&mut self, name: &[u8], mode: u32, source: &Source, size: u64, sha256: &str) -> Result<()> {
        let unreadable = |e| unread(source.path(), "read", e);
        let mut file = source.open().map_err(unreadable)?;
        self.header(name, EntryType::Regular, mode, size, b"")?;
        let mut hasher = Sha256::new();
        let mut left = size;
        loop {
            let n = file.read(&mut self.buffer).map_err(unreadable)?;
            if n == 0 {
                break;
            }
            left = left.checked_sub(n as u64).ok_or_else(|| changed(source))?;
            hasher.update(&self.buffer[..n]);
            self.out.write_all(&self.buffer[..n]).map_err(unwritable)?;
        }
        if left > 0 || text(&hasher.finalize()) != sha256 {
            return Err(changed(source));
        }
        self.pad(size)
    }

    pub(super) fn bytes(&mut self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.header(name, EntryType::Regular, mode, content.len() as u64, b"")?;
        self.out.write_all(content).map_err(unwritable)?;
        self.pad(content.len() as u64)
    }

    pub(super) fn bare(&mut self, name: &[u8], kind: EntryType, mode: u32, target: &[u8]) -> Result<()> {
        self.header(name, kind, mode, 0, target)
    }

    pub(super) fn header(&mut self, name: &[u8], kind: EntryType, mode: u32, size: u64, target: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        self.long(target, EntryType::GNULongLink)?;
        self.long(name, EntryType::GNULongName)?;
        fit(&mut header.as_old_mut().name, name);
        fit(&mut header.as_old_mut().linkname, target);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        self.put(header)
    }

    /// What does not fit into a header goes before it, as a member of its own that ends with a NUL.
    fn long(&mut self, text: &[u8], kind: EntryType) -> Result<()> {
        let mut header = Header::new_gnu();
        if text.len() <= header.as_old().name.len() {
            return Ok(());
        }
        fit(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(text.len() as u64 + 1);
        self.put(header)?;
        self.out.write_all(text).and_then(|()| self.out.write_all(&[0])).map_err(unwritable)?;
        self.pad(text.len() as u64 + 1)
    }

    fn put(&mut self, mut header: Header) -> Result<()> {
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_cksum();
        self.out.write_all(header.as_bytes()).map_err(unwritable)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let over = (size % BLOCK as u64) as usize;
        let rest = if over == 0 { 0 } else { BLOCK - over };
        self.out.write_all(&[0; BLOCK][..rest]).map_err(unwritable)
    }
}

fn fit(field: &mut [u8], text: &[u8]) {
    let n = text.len().min(field.len());
    field[..n].copy_from_slice(&text[..n]);
}

fn changed(source: &Source) -> Error {
    Error::Artifact {
        findings: vec![Finding {
            what: format!("`{}` was changed or removed while it was being packed", shown(source.path())),
            cure: "let nothing write to the build during a deploy, then try again".into(),
        }],
    }
}

pub(super) fn unwritable(source: io::Error) -> Error {
    Error::File { path: "the archive".into(), doing: "write", source }
}
