//! One running script: its input, its replies, the tail of its log. Both outputs are always read to the end, at once:
//! a remote that writes much while we write would otherwise block for ever.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use crate::remote::Reply;
use crate::remote::reply::LONGEST;
use crate::text::clean;

/// A script's input. Dropping it is end of input.
pub type Stdin = Pin<Box<dyn AsyncWrite + Send>>;

/// How many log lines are kept.
const TAIL: usize = 40;
/// How many unread replies may pile up before the host has to wait.
const PENDING: usize = 4096;
/// The most that one script may say, in bytes, a hook's own lines apart: more than a release of half a million files makes
/// a host answer, and enough for days of pings. Who says more is no host of ours, and is not listened to any longer.
const MOST: usize = 64 * 1024 * 1024;
/// What a line takes beside its text, where somebody keeps it.
const EACH: usize = 128;
/// The same, where people are shown it: some thousands of such lines are more than any run has.
const TOLD: usize = 8 * 1024;
const TOO_MUCH: &str = "the host says more than any script of shipit does, and was not listened to any longer";

/// A script that was started.
pub struct Running {
    /// Its input; `None` once given away or closed.
    pub stdin: Option<Stdin>,
    /// Its replies, in order; ends with its output.
    pub replies: mpsc::Receiver<Reply>,
    log: Arc<Mutex<VecDeque<String>>>,
    // Dropped together with this: the task that holds the channel then lets it go.
    _held: oneshot::Sender<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Running {
    /// Wraps a channel's ends. `keep` lives as long as the channel is in use.
    pub(super) fn new<K: Send + 'static>(
        stdin: Stdin,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        stderr: impl AsyncRead + Send + Unpin + 'static,
        keep: K,
    ) -> Running {
        Running::bounded(stdin, stdout, stderr, keep, MOST)
    }

    fn bounded<K: Send + 'static>(
        stdin: Stdin,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        stderr: impl AsyncRead + Send + Unpin + 'static,
        keep: K,
        most: usize,
    ) -> Running {
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (to, replies) = mpsc::channel(PENDING);
        let tail = Arc::clone(&log);
        let errors = tokio::spawn(each_line(stderr, usize::MAX, move |line| {
            push(&tail, line);
            async { true }
        }));
        let tail = Arc::clone(&log);
        let (held, released) = oneshot::channel();
        let mut left = most;
        tokio::spawn(async move {
            let noise = Arc::clone(&tail);
            // Nobody hears of the end before it stands in the log why.
            let open = to.clone();
            let read = each_line(stdout, most, move |line| {
                let mut reply = Reply::parse(&line);
                left = left.saturating_sub(match &reply {
                    Some(Reply::Out(_)) => 0,
                    Some(Reply::Note(_) | Reply::Warn(_) | Reply::Log(_)) => line.len() + TOLD,
                    _ => line.len() + EACH,
                });
                let goes_on = left > 0;
                if !goes_on {
                    reply = None;
                } else if reply.is_none() {
                    push(&noise, line);
                }
                let to = to.clone();
                async move {
                    if let Some(reply) = reply {
                        // Nobody reads any more: keep draining, so that the remote never blocks.
                        let _ = to.send(reply).await;
                    }
                    goes_on
                }
            });
            tokio::select! {
                () = async {
                    if !read.await {
                        push(&tail, TOO_MUCH.to_owned());
                    }
                    drop(open);
                    let _ = errors.await;
                } => {}
                _ = released => {}
            }
            drop(keep);
        });
        Running { stdin: Some(stdin), replies, log, _held: held }
    }

    /// Writes to its input. A remote that has ended makes writing fail; its replies tell why, so that is no error here.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let Some(stdin) = &mut self.stdin else { return false };
        stdin.write_all(bytes).await.is_ok() && stdin.flush().await.is_ok()
    }

    /// The last lines it printed that are not replies.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no holder panics").iter().cloned().collect()
    }
}

fn push(log: &Mutex<VecDeque<String>>, line: String) {
    if line.trim().is_empty() {
        return;
    }
    let mut log = log.lock().expect("no holder panics");
    if log.len() == TAIL {
        log.pop_front();
    }
    log.push_back(clean(&line, 400));
}

/// Calls `each` for every line, cut to a bound, until the end; false where `each` said stop, or where a line went on for more
/// than `most` bytes.
pub(crate) async fn each_line<F, W>(from: impl AsyncRead + Unpin, most: usize, mut each: F) -> bool
where
    F: FnMut(String) -> W,
    W: Future<Output = bool>,
{
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    let mut length = 0usize;
    loop {
        let (used, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(buffer) => match buffer.iter().position(|b| *b == b'\n') {
                Some(at) => {
                    line.extend_from_slice(&buffer[..at]);
                    (at + 1, true)
                }
                None => {
                    line.extend_from_slice(buffer);
                    (buffer.len(), false)
                }
            },
        };
        reader.consume(used);
        line.truncate(LONGEST);
        length = length.saturating_add(used);
        if ended {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            length = 0;
            if !each(text).await {
                return false;
            }
        } else if length > most {
            return false;
        }
    }
    line.is_empty() || each(String::from_utf8_lossy(&line).into_owned()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: usize = 2 << 20;

    /// What a host that prints this is heard to answer.
    async fn heard(stdout: impl AsyncRead + Send + Unpin + 'static) -> (Vec<Reply>, Vec<String>) {
        let mut running = Running::bounded(Box::pin(tokio::io::sink()), stdout, tokio::io::empty(), (), FEW);
        let mut replies = Vec::new();
        while let Some(reply) = running.replies.recv().await {
            replies.push(reply);
        }
        (replies, running.log())
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive_and_a_last_one_needs_no_end() {
        let (mut to, from) = tokio::io::duplex(3);
        let writing =
            tokio::spawn(async move { to.write_all(b"noise\n@pong idle\n@why \xff x\n@rea\0dy\n@bye end").await });
        let (replies, log) = heard(from).await;
        assert!(writing.await.unwrap().is_ok());
        let expected = [Reply::Pong("idle".into()), Reply::Why("\u{fffd} x".into()), Reply::Bye("end".into())];
        assert_eq!(replies, expected);
        assert_eq!(log, ["noise", "@ready"]);
    }

    #[tokio::test]
    async fn a_host_that_never_stops_is_not_listened_to_for_ever() {
        let (replies, log) = heard(tokio::io::repeat(b'x')).await;
        assert_eq!((replies.len(), &*log), (0, &[TOO_MUCH.to_owned()][..]));
        // Some of these would be kept by somebody, and none ends.
        for line in [format!("@record {}\n", "x".repeat(10_000)), "\n".repeat(100), "@pong idle\n".repeat(100)] {
            let (mut to, from) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move { while to.write_all(line.as_bytes()).await.is_ok() {} });
            let mut running = Running::bounded(Box::pin(tokio::io::sink()), from, tokio::io::empty(), (), FEW);
            let mut bytes = 0;
            while let Some(reply) = running.replies.recv().await {
                bytes += if let Reply::Record(text) = reply { text.len() } else { 0 };
            }
            assert!(bytes <= FEW);
            assert_eq!(running.log().last().map(String::as_str), Some(TOO_MUCH));
        }
        // Of these there may be any number.
        let many = FEW / 50;
        let (mut to, from) = tokio::io::duplex(1 << 16);
        let lines = format!("@out {}\n", "x".repeat(60)).repeat(100);
        tokio::spawn(async move {
            for _ in 0..=many / 100 {
                to.write_all(lines.as_bytes()).await.unwrap();
            }
        });
        let mut running = Running::bounded(Box::pin(tokio::io::sink()), from, tokio::io::empty(), (), FEW);
        let mut lines = 0;
        while running.replies.recv().await.is_some() {
            lines += 1;
        }
        assert!(lines > many && lines * 60 > FEW);
    }
}
