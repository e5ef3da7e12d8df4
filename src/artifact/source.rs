//! Where a file's content is: in a file of this machine, or in the copy that was made of an artifact file while it was
//! verified. Who reads one need not know which; nothing is judged here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The content of an entry.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of its own.
    Path(PathBuf),
    /// A part of a copy.
    Part {
        /// The copy.
        copy: Arc<Copy>,
        /// Where it begins.
        at: u64,
        /// How long it is.
        size: u64,
    },
}

/// The contents of an artifact file, one after the other, without their compression.
#[derive(Debug)]
pub struct Copy {
    /// Without a name: it is gone with the process, however that ends.
    pub(super) file: File,
    /// The artifact file, for messages.
    pub(super) of: PathBuf,
}

impl Source {
    /// Its bytes, from the first.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Source::Path(path) => Box::new(File::open(path)?),
            Source::Part { copy, at, size } => Box::new(Part { copy: Arc::clone(copy), at: *at, end: at + size }),
        })
    }

    /// The same, to be read from any place.
    pub fn places(&self) -> io::Result<Places> {
        Ok(match self {
            Source::Path(path) => {
                let file = File::open(path)?;
                let size = file.metadata()?.len();
                Places { file: Opened::Own(file), at: 0, size }
            }
            Source::Part { copy, at, size } => Places { file: Opened::Copy(Arc::clone(copy)), at: *at, size: *size },
        })
    }

    /// All of its bytes.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Source::Path(path) => fs::read(path),
            Source::Part { .. } => {
                let mut bytes = Vec::new();
                self.open()?.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The file to name where it can't be read.
    pub fn path(&self) -> &Path {
        match self {
            Source::Path(path) => path,
            Source::Part { copy, .. } => &copy.of,
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::Path(path)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Path(a), Source::Path(b)) => a == b,
            (Source::Part { copy: a, at: x, size: n }, Source::Part { copy: b, at: y, size: m }) => {
                Arc::ptr_eq(a, b) && (x, n) == (y, m)
            }
            _ => false,
        }
    }
}

impl Eq for Source {}

/// A content that is read from any place.
pub struct Places {
    file: Opened,
    at: u64,
    size: u64,
}

enum Opened {
    Own(File),
    Copy(Arc<Copy>),
}

impl Places {
    /// At most `size` bytes from a place; fewer where it ends.
    pub fn read(&self, at: u64, size: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size.min(left)];
        let file = match &self.file {
            Opened::Own(file) => file,
            Opened::Copy(copy) => &copy.file,
        };
        let mut done = 0;
        while done < bytes.len() {
            match file.read_at(&mut bytes[done..], self.at + at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

struct Part {
    copy: Arc<Copy>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.copy.file.read_at(&mut buffer[..left], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
