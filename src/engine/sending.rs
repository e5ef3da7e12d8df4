//! How a payload travels: packed on the way where only one host gets it, else packed once into a file from which every
//! host that needs the same is sent. A link that can't take it as fast as it is packed makes the packer wait.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::host::Payload;
use super::parcel::Parcel;
use crate::artifact::{Codec, Delta, Gauge, Way};
use crate::error::{Error, Result};
use crate::event::{EventKind, Events};

/// What is written at once, in bytes.
const CHUNK: usize = 128 * 1024;
/// How many of these may wait for the link.
const AHEAD: usize = 4;
/// Progress is told no more often than this.
const EVERY: Duration = Duration::from_millis(200);

/// What packs for one host, or for several that need the same.
#[derive(Clone)]
pub(super) struct Packer {
    /// The release.
    pub(super) parcel: Arc<Parcel>,
    /// How it is compressed.
    pub(super) codec: Codec,
    /// For which way.
    pub(super) way: Way,
    /// What need not be sent.
    pub(super) delta: Option<Arc<Delta>>,
}

impl Packer {
    /// Whether it makes the same bytes for another host.
    pub(super) fn is_like(&self, other: &Packer) -> bool {
        (self.codec, &self.delta) == (other.codec, &other.delta)
    }

    /// Packs into a temporary file.
    pub(super) async fn pack(self) -> Result<Packed> {
        let packed = spawn_blocking(move || {
            let out = BufWriter::with_capacity(CHUNK, tempfile::tempfile().map_err(unwritable)?);
            let encoder = self.codec.encoder(self.way, out).map_err(unwritable)?;
            let (mut out, wire) = self.parcel.pack(encoder, self.delta.as_deref())?;
            out.flush().map_err(unwritable)?;
            let file = out.into_inner().map_err(|error| unwritable(error.into_error()))?;
            let length = file.metadata().map_err(unwritable)?.len();
            Ok(Packed { file, length, wire })
        });
        packed.await.expect("packing does not panic and is never aborted")
    }

    /// Packs into a pipe, at the pace of its other end.
    fn pour(self, pipe: Pipe) -> Result<u64> {
        let gauge = Arc::clone(&pipe.gauge);
        let out = BufWriter::with_capacity(CHUNK, pipe);
        let encoder = self.codec.encoder(self.way, out).map_err(unwritable)?.paced(self.way, gauge);
        let (mut out, wire) = self.parcel.pack(encoder, self.delta.as_deref())?;
        out.flush().map_err(unwritable)?;
        Ok(wire)
    }
}

fn unwritable(source: io::Error) -> Error {
    Error::File { path: std::env::temp_dir(), doing: "write a temporary file in", source }
}

/// A packed payload. Its file has no name: it is gone with the process, however that ends.
#[derive(Debug)]
pub(super) struct Packed {
    file: File,
    length: u64,
    wire: u64,
}

/// Where a host's payload comes from.
pub(super) enum Supply {
    /// The file for all that need the same.
    File(Arc<Packed>),
    /// The packer itself.
    Packer(Packer),
}

/// One host's payload.
pub(super) struct Sending {
    supply: Supply,
    events: Events,
    files: u64,
    /// Bytes that crossed the wire, once all has been sent.
    pub(super) wire: u64,
}

impl Sending {
    /// Tells `events` how far it is of `files`: the bytes in the files that travel.
    pub(super) fn new(supply: Supply, events: Events, files: u64) -> Sending {
        Sending { supply, events, files, wire: 0 }
    }

    // A host that stops reading is no error of ours: its replies say why.
    async fn send_all(&mut self, to: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<()> {
        let mut told = Instant::now();
        match &self.supply {
            Supply::File(packed) => {
                let unreadable =
                    |source| Error::File { path: std::env::temp_dir(), doing: "read a temporary file in", source };
                let mut buffer = vec![0; CHUNK];
                let mut at = 0;
                while at < packed.length {
                    let n = packed.file.read_at(&mut buffer, at).map_err(unreadable)?;
                    if n == 0 || to.write_all(&buffer[..n]).await.is_err() {
                        return Ok(());
                    }
                    at += n as u64;
                    self.progress(&mut told, (self.files as f64 * (at as f64 / packed.length as f64)) as u64);
                }
                self.wire = packed.wire;
            }
            Supply::Packer(packer) => {
                let (into, mut chunks) = mpsc::channel(AHEAD);
                let gauge = Arc::new(Gauge::default());
                let (packer, pipe) = (packer.clone(), Pipe { into, gauge: Arc::clone(&gauge) });
                let packing = spawn_blocking(move || packer.pour(pipe));
                while let Some(chunk) = chunks.recv().await {
                    if to.write_all(&chunk).await.is_err() {
                        return Ok(());
                    }
                    self.progress(&mut told, gauge.taken());
                }
                self.wire = packing.await.expect("packing does not panic and is never aborted")?;
            }
        }
        Ok(())
    }

    fn progress(&self, told: &mut Instant, done: u64) {
        if told.elapsed() > EVERY {
            *told = Instant::now();
            self.events.send(EventKind::Progress { step: "receive", done: done.min(self.files), total: self.files });
        }
    }
}

impl Payload for Sending {
    fn send<'a>(
        &'a mut self,
        to: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(self.send_all(to))
    }
}

/// The packer's end. Whoever no longer takes from it ends the packing.
struct Pipe {
    into: mpsc::Sender<Vec<u8>>,
    gauge: Arc<Gauge>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let began = Instant::now();
        let sent = self.into.blocking_send(bytes.to_vec());
        self.gauge.waits(began.elapsed());
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
