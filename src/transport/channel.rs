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
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (to, replies) = mpsc::channel(PENDING);
        let tail = Arc::clone(&log);
        let errors = tokio::spawn(each_line(stderr, move |line| {
            push(&tail, line);
            async { true }
        }));
        let tail = Arc::clone(&log);
        let (held, released) = oneshot::channel();
        tokio::spawn(async move {
            let read = each_line(stdout, move |line| {
                let reply = Reply::parse(&line);
                if reply.is_none() {
                    push(&tail, line);
                }
                let to = to.clone();
                async move {
                    match reply {
                        // Nobody reads any more: keep draining, so that the remote never blocks.
                        Some(reply) => {
                            let _ = to.send(reply).await;
                            true
                        }
                        None => true,
                    }
                }
            });
            tokio::select! {
                () = async { read.await; let _ = errors.await; } => {}
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

/// Calls `each` for every line, bounded in length, until the end or until it says stop.
async fn each_line<F, W>(from: impl AsyncRead + Unpin, mut each: F)
where
    F: FnMut(String) -> W,
    W: Future<Output = bool>,
{
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
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
        if ended {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if !each(text).await {
                return;
            }
        }
    }
    if !line.is_empty() {
        each(String::from_utf8_lossy(&line).into_owned()).await;
    }
}
