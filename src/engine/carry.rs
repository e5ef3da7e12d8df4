//! Carries a payload to a host no faster than its link takes it. A ping has to wait behind all that was sent before it, and
//! one that comes too late is silence to the host: so only so much is under way as the link carries in a part of that time,
//! measured by how long pings take meanwhile. Knows nothing of what it carries.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::session::Session;
use crate::transport::Stdin;

/// What is read and written at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How much is sent between two questions; twice that may be under way.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    bytes: usize,
    silence: Duration,
}

impl Piece {
    const LEAST: usize = 64 * 1024;
    /// Less than this is nothing to most links, and then nothing has to be waited for.
    const FIRST: usize = 256 * 1024;
    const MOST: usize = 4 * 1024 * 1024;

    fn new(silence: Duration) -> Piece {
        Piece { bytes: Piece::FIRST, silence }
    }

    /// The next one, after an answer took this long. Between the two bounds it stays.
    fn after(&mut self, took: Duration) {
        if took < self.silence / 5 {
            self.bytes = (self.bytes * 2).min(Piece::MOST);
        } else if took > self.silence / 3 {
            self.bytes = (self.bytes / 2).max(Piece::LEAST);
        }
    }
}

/// Carries all that comes from `from`, up to its end or the link's. Without a session nobody waits for pings.
pub(super) async fn carry(mut from: impl AsyncRead + Unpin, to: &mut Stdin, session: Option<&Session>) {
    let mut buffer = vec![0; CHUNK];
    let mut piece = session.map(|session| Piece::new(session.silence()));
    let mut earlier = None;
    loop {
        let mut left = piece.as_ref().map_or(usize::MAX, |piece| piece.bytes);
        while left > 0 {
            let most = left.min(CHUNK);
            let n = match from.read(&mut buffer[..most]).await {
                Ok(n @ 1..) => n,
                _ => return,
            };
            if to.write_all(&buffer[..n]).await.is_err() {
                return;
            }
            left -= n;
        }
        let (Some(session), Some(piece)) = (session, &mut piece) else { continue };
        // A task of its own, so that the time is the answer's, and not when somebody asks for it here.
        if let Some(earlier) = earlier.replace(tokio::spawn(session.ask().await)) {
            match earlier.await {
                Ok(Some(took)) => piece.after(took),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_follows_the_link() {
        let mut piece = Piece::new(Duration::from_secs(15));
        piece.after(Duration::from_millis(20));
        assert_eq!(piece.bytes, 2 * Piece::FIRST);
        piece.after(Duration::from_secs(4));
        assert_eq!(piece.bytes, 2 * Piece::FIRST, "between the bounds");
        (0..9).for_each(|_| piece.after(Duration::from_secs(6)));
        assert_eq!(piece.bytes, Piece::LEAST);
        (0..20).for_each(|_| piece.after(Duration::ZERO));
        assert_eq!(piece.bytes, Piece::MOST);
    }
}
