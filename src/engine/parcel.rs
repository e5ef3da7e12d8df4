//! The payload of a receive: packed and compressed once for each codec that a host asks for, then sent to each host
//! from the same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::host::Payload;
use crate::artifact::{Artifact, Codec, Delta, Extra, Held, Modes, Mutable, Way, delta, manifest, write_archive};
use crate::error::{Error, Result};
use crate::event::{Amount, EventKind, Events};

/// Everything that the archives of one release are made of.
pub(super) struct Parcel {
    artifact: Arc<Artifact>,
    manifest: Vec<u8>,
    record: Vec<u8>,
    extra: Vec<Extra>,
    modes: Modes,
    mtime: u64,
}

impl Parcel {
    /// `record` is the release's record, `marker` its `.release.json`; all entries get the time `mtime` (Unix seconds).
    pub(super) fn new(artifact: Arc<Artifact>, record: String, marker: String, modes: Modes, mtime: u64) -> Parcel {
        let extra = vec![(".release.json".to_owned(), marker.into_bytes())];
        let manifest = manifest(&artifact, modes, &extra);
        Parcel { artifact, manifest, record: record.into_bytes(), extra, modes, mtime }
    }

    /// SHA-256 of the manifest, hex.
    pub(super) fn manifest_sha(&self) -> String {
        Sha256::digest(&self.manifest).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a host that has `held` need not be sent; none: it needs all. With `links` what is not mutable may be linked.
    pub(super) fn delta(&self, held: &Held, links: Option<&Mutable>) -> Option<Delta> {
        delta(&self.manifest, held, links)
    }

    /// Files that travel with this delta, and files that don't.
    pub(super) fn amounts(&self, delta: Option<&Delta>) -> (Amount, Amount) {
        let extra = self.extra.iter().map(|(_, content)| content.len() as u64).sum::<u64>();
        let all = Amount { files: self.artifact.files() + self.extra.len(), bytes: self.artifact.bytes() + extra };
        delta.map_or((all, Amount::default()), |delta| (delta.sent, delta.reused))
    }

    /// Packs into a temporary file that has no name: it is gone with the process, however that ends.
    pub(super) async fn pack(self: &Arc<Self>, codec: Codec, way: Way, delta: Option<Arc<Delta>>) -> Result<Arc<File>> {
        let parcel = Arc::clone(self);
        let packed = tokio::task::spawn_blocking(move || parcel.pack_here(codec, way, delta.as_deref())).await;
        packed.expect("packing does not panic and is never aborted")
    }

    fn pack_here(&self, codec: Codec, way: Way, delta: Option<&Delta>) -> Result<Arc<File>> {
        let failed = |source| Error::File { path: std::env::temp_dir(), doing: "write a temporary file in", source };
        let file = tempfile::tempfile().map_err(failed)?;
        let mut encoder = codec.encoder(way, BufWriter::with_capacity(256 * 1024, file)).map_err(failed)?;
        let payload = crate::artifact::Payload {
            manifest: &self.manifest,
            record: &self.record,
            extra: &self.extra,
            modes: self.modes,
            mtime: self.mtime,
            delta,
        };
        write_archive(&self.artifact, &payload, &mut encoder)?;
        let mut writer = encoder.finish().map_err(failed)?;
        writer.flush().map_err(failed)?;
        let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Arc::new(file))
    }
}

/// One host's reading of a packed file.
pub(super) struct Sending {
    file: Arc<File>,
    events: Events,
    /// Bytes in all.
    pub total: u64,
}

impl Sending {
    /// Reads `file` for one host, telling `events` how far it is.
    pub(super) fn new(file: Arc<File>, events: Events) -> Result<Sending> {
        let total = file
            .metadata()
            .map_err(|source| Error::File { path: std::env::temp_dir(), doing: "read a temporary file in", source })?
            .len();
        Ok(Sending { file, events, total })
    }
}

impl Payload for Sending {
    fn send<'a>(
        &'a mut self,
        to: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let failed = |source| Error::File { path: std::env::temp_dir(), doing: "read a temporary file in", source };
            let mut buffer = vec![0; 256 * 1024];
            let mut done = 0;
            let mut told = Instant::now();
            while done < self.total {
                let n = self.file.read_at(&mut buffer, done).map_err(failed)?;
                if n == 0 {
                    break;
                }
                if to.write_all(&buffer[..n]).await.is_err() {
                    // The host stopped reading; its replies say why.
                    return Ok(());
                }
                done += n as u64;
                if told.elapsed() > Duration::from_millis(200) || done == self.total {
                    told = Instant::now();
                    self.events.send(EventKind::Progress { step: "receive", done, total: self.total });
                }
            }
            Ok(())
        })
    }
}
