//! What a host tells of what a new release could be made of, while it arrives: pieces in a session's answers, unpacked
//! within bounds. A host that tells too much, or nonsense, has told nothing: then all is sent.

use std::io::Read;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use tokio::sync::watch;

use crate::artifact::Held;
use crate::remote::Reply;

/// The most that is taken in, packed.
const PACKED: usize = 32 * 1024 * 1024;
/// The most that comes out of it.
const WHOLE: u64 = 64 * 1024 * 1024;

/// The pieces so far, and whether there are more to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    pieces: Arc<Mutex<String>>,
    told: watch::Sender<bool>,
}

impl Telling {
    /// Nothing yet.
    pub(super) fn new() -> Telling {
        Telling { pieces: Arc::default(), told: watch::Sender::new(false) }
    }

    /// Takes one reply in; gives it back where it is not a piece.
    pub(super) fn take(&self, reply: Reply) -> Option<Reply> {
        match reply {
            Reply::Held(piece) => {
                let mut pieces = self.pieces.lock().expect("no holder panics");
                // What is over the bound stays incomplete, and so becomes nothing.
                if pieces.len() + piece.len() <= PACKED {
                    pieces.push_str(&piece);
                }
            }
            Reply::Told => {
                self.told.send_replace(true);
            }
            other => return Some(other),
        }
        None
    }

    /// Whether there is no more to come.
    pub(super) fn is_whole(&self) -> bool {
        *self.told.borrow()
    }

    /// Waits for the end of it; none where it says nothing that could be used.
    pub(super) async fn whole(&self) -> Option<Held> {
        self.told.subscribe().wait_for(|told| *told).await.ok()?;
        let pieces = std::mem::take(&mut *self.pieces.lock().expect("no holder panics"));
        tokio::task::spawn_blocking(move || unpack(&pieces)).await.expect("unpacking does not panic")
    }
}

fn unpack(pieces: &str) -> Option<Held> {
    let packed = STANDARD.decode(pieces.trim()).ok()?;
    let mut told = Vec::new();
    MultiGzDecoder::new(&*packed).take(WHOLE).read_to_end(&mut told).ok()?;
    Held::parse(&told)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(told: &[u8]) -> String {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(told).unwrap();
        STANDARD.encode(packer.finish().unwrap())
    }

    #[test]
    fn what_is_cut_or_too_much_or_nonsense_is_nothing() {
        let good = packed(b"e\n");
        assert!(unpack(&good).is_some());
        assert!(unpack(&good[..good.len() - 8]).is_none(), "cut");
        assert!(unpack("").is_none() && unpack("~~~").is_none());
        // A bomb: a few kilobytes that would be a gigabyte.
        let bomb = packed(&vec![b'\n'; 100 << 20]);
        assert!(bomb.len() < 2_000_000 && unpack(&bomb).is_none());
        let telling = Telling::new();
        for _ in 0..=PACKED / LONGEST {
            telling.take(Reply::Held("A".repeat(LONGEST)));
        }
        assert!(telling.pieces.lock().unwrap().len() <= PACKED);
    }

    const LONGEST: usize = crate::remote::reply::LONGEST;
}
