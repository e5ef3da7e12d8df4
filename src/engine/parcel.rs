//! The payload of a receive: what the archive for one host is made of. Packs; how it travels is sending.rs.

use std::io::Write;
use std::sync::Arc;

use crate::artifact::{
    Artifact, Delta, Encoder, Extra, Held, Modes, Mutable, Payload, delta, end_archive, manifest, sha256, write_archive,
};
use crate::error::{Error, Result};
use crate::event::Amount;

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
        sha256(&self.manifest)
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

    /// Packs all that a host needs, with its end; the writer, and how many bytes went into it before that end.
    pub(super) fn pack<W: Write>(&self, mut encoder: Encoder<W>, delta: Option<&Delta>) -> Result<(W, u64)> {
        let payload = Payload {
            manifest: &self.manifest,
            record: &self.record,
            extra: &self.extra,
            modes: self.modes,
            mtime: self.mtime,
            delta,
        };
        let unwritable = |source| Error::File { path: "the archive".into(), doing: "write", source };
        write_archive(&self.artifact, &payload, &mut encoder)?;
        let wire = encoder.passed().map_err(unwritable)?;
        end_archive(wire, self.mtime, &mut encoder)?;
        Ok((encoder.finish().map_err(unwritable)?, wire))
    }
}
