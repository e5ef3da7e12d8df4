//! Reads what keep.rs writes, and takes nothing on trust. Once the manifest is known, every byte that has to follow is:
//! headers are made anew and compared, so that nothing in the file says where a path leads or what lies there.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tar::EntryType;
use zstd::stream::read::Decoder;

use super::archive::{BLOCK, END, Tar};
use super::codec::WINDOW_LOG;
use super::keep::{FORMAT, HEAD, Head, MANIFEST, MODES, MTIME, TREE, named};
use super::manifest::{content, unescape};
use super::source::{Copy, Source};
use super::tree::{Node, Tree, leave_to_shared, parents, place};
use super::{Artifact, Entry, EntryKind, check, hash, shown};
use crate::config::{Config, Starts};
use crate::error::{Error, Finding, Result};
use crate::text::count;

/// The largest head and manifest: what is read before anything is known of the file.
const LARGEST_HEAD: u64 = 1 << 20;
const LARGEST_MANIFEST: u64 = 128 << 20;

/// An artifact file whose head was read.
#[derive(Clone, Debug)]
pub struct Kept {
    file: PathBuf,
    head: Head,
}

impl Kept {
    /// Reads the head, and refuses a file that is none, or one that `config` would build otherwise.
    pub fn open(file: &Path, config: &Config) -> Result<Kept> {
        let head = Stream::open(file)?.head()?;
        head.suits(config, file)?;
        Ok(Kept { file: file.to_owned(), head })
    }

    /// What it says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Reads all of it, every file against its SHA-256; `copied`: into a temporary file, from which the artifact is sent.
    /// Without it the artifact has no contents, and only its entries are of use.
    pub fn read(&self, config: &Config, copied: bool) -> Result<Artifact> {
        let mut stream = Stream::open(&self.file)?;
        if stream.head()? != self.head {
            return Err(stream.refused("was changed while it was being read"));
        }
        let (text, known) = stream.manifest(&self.head.artifact)?;
        let mut tree: Tree = known.iter().map(|known| (known.path.clone(), known.node())).collect();
        stream.sound(&tree)?;
        let copy = match copied {
            true => Some(tempfile::tempfile().map_err(unwritable)?),
            false => None,
        };
        let entries = stream.contents(known, copy)?;
        if content(&entries) != text {
            return Err(stream.damaged("its manifest is not in order"));
        }
        self.fit(entries, &mut tree, config)
    }

    /// The artifact for one stage: what that shares is left to it, and it must hold what the stage starts.
    fn fit(&self, mut entries: Vec<Entry>, tree: &mut Tree, config: &Config) -> Result<Artifact> {
        let head = &self.head;
        let mut findings = leave_to_shared(tree, &head.app_dir, &config.shared);
        findings.extend(check::findings(tree, &head.app_dir, &config.shared));
        let script = match config.service.starts() {
            Starts::Given(script) => Some(script),
            Starts::Preset => Some(head.script.as_deref().unwrap_or_default()),
            Starts::Own => None,
        };
        if let Some(script) = script
            && place(&head.app_dir, script).is_none_or(|path| !tree.contains_key(path.as_os_str().as_bytes()))
        {
            findings.push(Finding {
                what: format!(
                    "the service starts `{}`, which `{}` does not hold",
                    shown(Path::new(script)),
                    shown(&self.file)
                ),
                cure: format!("build one for this stage: shipit build {} -o FILE", config.stage),
            });
        }
        if !findings.is_empty() {
            return Err(Error::Artifact { findings });
        }
        let all = entries.len();
        entries.retain(|entry| tree.contains_key(entry.dest.as_os_str().as_bytes()));
        let hash = if entries.len() == all { head.artifact.clone() } else { hash::sha256(&content(&entries)) };
        Ok(Artifact {
            entries,
            app_dir: head.app_dir.clone(),
            hash,
            script: head.script.clone(),
            env: head.env.clone(),
            mutable: head.mutable.clone(),
            assets: head.assets.clone(),
            deployment: head.deployment.clone(),
            warnings: Vec::new(),
        })
    }
}

/// One line of the manifest.
struct Known {
    path: Vec<u8>,
    kind: KnownKind,
}

enum KnownKind {
    File { size: u64, sha256: String, executable: bool },
    Dir,
    Link { target: PathBuf },
}

impl Known {
    fn parse(line: &[u8]) -> Option<Known> {
        let mut fields = line.splitn(5, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(fields.next()?).ok();
        let (what, mode, size, sha256) = (word()?, word()?, word()?, word()?);
        let rest = fields.next()?;
        let (path, target) = match rest.iter().position(|byte| *byte == b'\t') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let kind = match (what, target) {
            ("f", None) => KnownKind::File { size: size.parse().ok()?, sha256: sha256.into(), executable: mode == "x" },
            ("d", None) => KnownKind::Dir,
            ("l", Some(target)) => KnownKind::Link { target: OsString::from_vec(unescape(target)?).into() },
            _ => return None,
        };
        let path = unescape(path)?;
        let odd = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
        let inside = !path.split(|byte| *byte == b'/').any(odd);
        inside.then_some(Known { path, kind })
    }

    fn node(&self) -> Node {
        match &self.kind {
            KnownKind::File { executable, .. } => Node::File { source: PathBuf::new(), executable: *executable },
            KnownKind::Dir => Node::Dir,
            KnownKind::Link { target } => Node::Link { target: target.clone() },
        }
    }
}

type Plain = Decoder<'static, BufReader<File>>;

struct Stream<'a> {
    file: &'a Path,
    from: Plain,
}

impl<'a> Stream<'a> {
    fn open(file: &'a Path) -> Result<Stream<'a>> {
        let failed = |source| Error::File { path: file.to_owned(), doing: "read", source };
        let mut from = Decoder::new(File::open(file).map_err(failed)?).map_err(failed)?;
        // As it was written: a larger window would be memory that a stranger asks for.
        from.window_log_max(WINDOW_LOG).map_err(failed)?;
        Ok(Stream { file, from })
    }

    fn refused(&self, why: &str) -> Error {
        Error::Artifact {
            findings: vec![Finding {
                what: format!("`{}` {why}", shown(self.file)),
                cure: "make it again with shipit build -o FILE, or copy it again".into(),
            }],
        }
    }

    fn damaged(&self, why: &str) -> Error {
        self.refused(&format!("is damaged: {why}"))
    }

    fn unread(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.refused("is damaged: it ends too early"),
            _ => self.damaged(&error.to_string()),
        }
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.from.read_exact(bytes).map_err(|error| self.unread(&error))
    }

    /// A member of this name, whole.
    fn member(&mut self, name: &[u8], largest: u64) -> Result<Vec<u8>> {
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        let header = tar::Header::from_byte_slice(&block);
        let size = header.size().ok().filter(|size| *size <= largest);
        let (true, Some(size)) = (header.path_bytes().as_ref() == name, size) else {
            return Err(self.damaged(&format!("there is no {} where it should be", String::from_utf8_lossy(name))));
        };
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(size).read_to_end(&mut bytes).map_err(|error| self.unread(&error))?;
        if read as u64 != size {
            return Err(self.unread(&io::ErrorKind::UnexpectedEof.into()));
        }
        self.padding(size)?;
        Ok(bytes)
    }

    fn padding(&mut self, size: u64) -> Result<()> {
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..(BLOCK - (size % BLOCK as u64) as usize) % BLOCK];
        self.exactly(rest)?;
        match rest.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(self.damaged("there is something between its files")),
        }
    }

    fn head(&mut self) -> Result<Head> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let none = "is no artifact file, or a damaged one";
        let Ok(text) = self.member(HEAD, LARGEST_HEAD) else { return Err(self.refused(none)) };
        let Ok(form) = serde_json::from_slice::<Form>(&text) else { return Err(self.refused(none)) };
        if form.format > FORMAT {
            return Err(Error::Usage {
                what: format!("`{}` was made by a newer shipit: its format is {}", shown(self.file), form.format),
                hint: format!("bring this shipit up to date; it reads formats up to {FORMAT}"),
            });
        }
        let head: Head =
            serde_json::from_slice(&text).map_err(|error| self.damaged(&format!("its head can't be read: {error}")))?;
        match place(&head.app_dir, "x") {
            Some(_) => Ok(head),
            None => Err(self.damaged("its app lies outside of it")),
        }
    }

    fn manifest(&mut self, artifact: &str) -> Result<(Vec<u8>, Vec<Known>)> {
        let text = self.member(MANIFEST, LARGEST_MANIFEST)?;
        if hash::sha256(&text) != artifact {
            return Err(self.damaged("its manifest is not the one that its head names"));
        }
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let known: Option<Vec<Known>> = lines.map(|line| line.strip_suffix(b"\n").and_then(Known::parse)).collect();
        match known {
            Some(known) => Ok((text, known)),
            None => Err(self.damaged("its manifest names what can't be in a release")),
        }
    }

    /// Every path lies in a folder that is one: nothing is reached through a link.
    fn sound(&self, tree: &Tree) -> Result<()> {
        for path in tree.keys() {
            if let Some(parent) = parents(path).next()
                && tree.get(parent) != Some(&Node::Dir)
            {
                return Err(self.damaged(&format!("`{}` lies in what is no folder", named(path))));
            }
        }
        Ok(())
    }

    /// Everything that has to follow the manifest.
    fn contents(&mut self, known: Vec<Known>, copy: Option<File>) -> Result<Vec<Entry>> {
        let of = self.file.to_owned();
        let mut to = match &copy {
            Some(copy) => Some(BufWriter::with_capacity(256 * 1024, copy.try_clone().map_err(unwritable)?)),
            None => None,
        };
        let copy = copy.map(|file| Arc::new(Copy { file, of }));
        let (mut header, mut block, mut at) = (Vec::new(), Vec::new(), 0);
        let (dir, file, program) = MODES;
        let mut entries = Vec::with_capacity(known.len());
        for Known { path, kind } in known {
            let name = [TREE, &path].concat();
            header.clear();
            let mut tar = Tar::new(&mut header, MTIME);
            match &kind {
                KnownKind::Dir => tar.header(&name, EntryType::Directory, dir, 0, b"")?,
                KnownKind::Link { target } => {
                    tar.header(&name, EntryType::Symlink, 0o777, 0, target.as_os_str().as_bytes())?;
                }
                KnownKind::File { size, executable, .. } => {
                    tar.header(&name, EntryType::Regular, if *executable { program } else { file }, *size, b"")?;
                }
            }
            block.resize(header.len(), 0);
            self.exactly(&mut block)?;
            if block != header {
                return Err(self.damaged(&format!("`{}` is not what follows in it", named(&path))));
            }
            let kind = match kind {
                KnownKind::Dir => EntryKind::Dir,
                KnownKind::Link { target } => EntryKind::Link { target },
                KnownKind::File { size, sha256, executable } => {
                    self.content(&path, size, &sha256, to.as_mut())?;
                    let source = match &copy {
                        Some(copy) => Source::Part { copy: Arc::clone(copy), at, size },
                        None => Source::Path(PathBuf::new()),
                    };
                    at += size;
                    EntryKind::File { source, size, sha256, executable }
                }
            };
            entries.push(Entry { dest: OsString::from_vec(path).into(), kind });
        }
        if let Some(to) = &mut to {
            to.flush().map_err(unwritable)?;
        }
        self.over()?;
        Ok(entries)
    }

    fn content(&mut self, path: &[u8], size: u64, sha256: &str, mut to: Option<&mut BufWriter<File>>) -> Result<()> {
        let mut hasher = Sha256::new();
        let mut buffer = [0; 32 * 1024];
        let mut left = size;
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.exactly(&mut buffer[..n])?;
            hasher.update(&buffer[..n]);
            if let Some(to) = &mut to {
                to.write_all(&buffer[..n]).map_err(unwritable)?;
            }
            left -= n as u64;
        }
        if hash::text(&hasher.finalize()) != sha256 {
            return Err(self.damaged(&format!("`{}` is not what its manifest says", named(path))));
        }
        self.padding(size)
    }

    fn over(&mut self) -> Result<()> {
        let mut end = END;
        self.exactly(&mut end)?;
        let mut more = [0];
        let read = self.from.read(&mut more).map_err(|error| self.unread(&error))?;
        match read == 0 && end == END {
            true => Ok(()),
            false => Err(self.damaged(&format!("{} more follow its end", count(read.max(1), "byte")))),
        }
    }
}

fn unwritable(source: io::Error) -> Error {
    Error::File { path: std::env::temp_dir(), doing: "write a temporary file in", source }
}
