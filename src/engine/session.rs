//! The client's end of a session: opens it, keeps it alive with pings, asks it words and waits for its answers.
//! While this value lives and the process runs, the host goes on; when it is dropped the host takes itself back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::held::Telling;
use crate::artifact::Held;
use crate::error::{Error, Result};
use crate::event::{EventKind, Events};
use crate::remote::{Facts, Reply};
use crate::transport::{Running, Stdin};

/// How a session began.
pub enum Opening {
    /// The lock is held, the facts are told.
    Idle(Session, Box<Facts>),
    /// Somebody else holds the lock: who, since when.
    Locked(String, String),
    /// The host can't take a run; the facts hold the findings.
    Refused(Box<Facts>),
    /// An earlier run could not be put right.
    Stuck(String),
}

/// Where words go in.
struct Mouth {
    stdin: Mutex<Option<Stdin>>,
    /// How many pings were sent.
    pings: AtomicU64,
}

/// An open session.
pub struct Session {
    mouth: Arc<Mouth>,
    answers: mpsc::UnboundedReceiver<Reply>,
    pongs: watch::Receiver<(Instant, String)>,
    /// How many pings were answered.
    answered: watch::Receiver<u64>,
    over: watch::Receiver<bool>,
    pinger: JoinHandle<()>,
    silence: Duration,
    telling: Telling,
    ahead: Vec<&'static str>,
    /// Facts that the host has told since its start, the latest of each key.
    pub said: BTreeMap<String, String>,
    /// The last log lines that the host sent with a failure.
    pub log: Vec<String>,
}

impl Session {
    /// Reads a session's first answers, up to `limit`, and starts to ping.
    pub async fn open(mut running: Running, silence: Duration, limit: Duration, events: Events) -> Result<Opening> {
        let lost = |detail: String| Error::Lost { host: String::new(), step: "connect", detail };
        let mut facts = Facts::default();
        let until = Instant::now() + limit;
        let mut stuck = None;
        let telling = Telling::new();
        loop {
            let reply = match timeout_at(until, running.replies.recv()).await {
                Ok(Some(reply)) => reply,
                Ok(None) => {
                    let said = running.log().pop();
                    return Err(lost(said.unwrap_or_else(|| "the host ended the session at its start".into())));
                }
                Err(_) => return Err(lost("the host did not begin the session in time".into())),
            };
            match facts.take(reply).and_then(|reply| telling.take(reply)) {
                None | Some(Reply::Pong(_)) => {}
                Some(Reply::Facts) => break,
                Some(Reply::Locked { who, since }) => return Ok(Opening::Locked(who, since)),
                Some(Reply::Stuck(why)) => stuck = Some(why),
                Some(Reply::Bye(_)) => {
                    return Ok(match stuck {
                        Some(why) => Opening::Stuck(why),
                        None => Opening::Refused(Box::new(facts)),
                    });
                }
                Some(other) => forward(&events, "connect", other),
            }
        }
        let mouth = Arc::new(Mouth { stdin: Mutex::new(running.stdin.take()), pings: AtomicU64::new(0) });
        let (to, answers) = mpsc::unbounded_channel();
        // Its facts were a sign of life.
        let (ponged, pongs) = watch::channel((Instant::now(), "idle".to_owned()));
        let (counted, answered) = watch::channel(0);
        let (ended, over) = watch::channel(false);
        let every = (silence / 5).clamp(Duration::from_millis(400), Duration::from_secs(3));
        let pinger = tokio::spawn(ping(Arc::clone(&mouth), every));
        let heard = telling.clone();
        tokio::spawn(async move {
            // The whole value: with it goes the channel.
            let mut channel = running;
            while let Some(reply) = channel.replies.recv().await {
                match heard.take(reply) {
                    Some(Reply::Pong(state)) => {
                        ponged.send_replace((Instant::now(), state));
                        counted.send_modify(|count| *count += 1);
                    }
                    // A session runs no line of the user's.
                    Some(Reply::Out(_)) | None => {}
                    Some(reply) => {
                        if matches!(reply, Reply::Ready | Reply::Shifted(_)) {
                            ponged.send_replace((Instant::now(), "held".to_owned()));
                        }
                        // The session value may be gone; what the host says is still read to its end.
                        let _ = to.send(reply);
                    }
                }
            }
            ended.send_replace(true);
        });
        Ok(Opening::Idle(
            Session {
                mouth,
                answers,
                pongs,
                answered,
                over,
                pinger,
                silence,
                telling,
                ahead: Vec::new(),
                said: BTreeMap::new(),
                log: Vec::new(),
            },
            Box::new(facts),
        ))
    }

    /// Sends a word, unless it was sent ahead. A session that is gone shows in the answer that does not come.
    pub async fn word(&mut self, word: &str) {
        match self.ahead.iter().position(|ahead| *ahead == word) {
            // What came before it was not waited for.
            Some(at) => drop(self.ahead.drain(..=at)),
            None => {
                self.mouth.say(word).await;
            }
        }
    }

    /// Sends words that will be said in this order, all at once, unless they were: the host goes from one to the next
    /// without waiting for us.
    pub async fn words_ahead(&mut self, words: &[&'static str]) {
        if self.ahead != words {
            self.mouth.say(&words.join("\n")).await;
            self.ahead = words.to_vec();
        }
    }

    /// The next answer that is not progress. None: the channel ended, the host fell silent, or `limit` passed.
    pub async fn answer(&mut self, limit: Duration, events: &Events, step: &'static str) -> Option<Reply> {
        let until = Instant::now() + limit;
        loop {
            let quiet = Session::quiet(self.pongs.clone(), self.silence);
            tokio::select! {
                reply = self.answers.recv() => match reply? {
                    Reply::Log(line) => {
                        self.log.push(line.clone());
                        forward(events, step, Reply::Log(line));
                    }
                    Reply::Fact(key, value) if key != "warn" => {
                        self.said.insert(key, value);
                    }
                    progress @ (Reply::Note(_) | Reply::Warn(_) | Reply::Fact(..) | Reply::Removed(_)) => forward(events, step, progress),
                    reply => return Some(reply),
                },
                () = tokio::time::sleep_until(until) => return None,
                () = quiet => return None,
            }
        }
    }

    /// What a new release could be made of, once the host has looked; none where that is nothing, is not known within
    /// `limit`, or was taken before.
    pub async fn held(&self, limit: Duration) -> Option<Held> {
        tokio::select! {
            held = self.telling.whole() => held,
            () = self.over() => None,
            () = Session::quiet(self.pongs.clone(), self.silence) => None,
            () = tokio::time::sleep(limit) => None,
        }
    }

    /// Waits until the host has given no sign of life for longer than it may: silence counts from the last one.
    async fn quiet(pongs: watch::Receiver<(Instant, String)>, silence: Duration) {
        loop {
            let until = pongs.borrow().0 + silence + Duration::from_secs(5);
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Why the host could not prove which release runs; none: it could.
    pub fn doubt(&self) -> Option<&str> {
        self.said.get("doubt").map(String::as_str)
    }

    /// Whether the host has left the run by itself: nothing that followed was the release's fault.
    pub fn has_left(&self) -> bool {
        self.said.contains_key("left")
    }

    /// Asks for a sign of life and waits for it; the state that the host answers. None: it is not heard in time, or
    /// the session is over.
    pub async fn state_within(&self, limit: Duration) -> Option<String> {
        let asked = Instant::now();
        self.mouth.ping().await;
        let mut pongs = self.pongs.clone();
        let answered = async { pongs.wait_for(|(at, _)| *at >= asked).await.ok().map(|pong| pong.1.clone()) };
        tokio::select! {
            state = answered => state,
            () = self.over() => None,
            () = tokio::time::sleep(limit) => None,
        }
    }

    /// The state that the host told of at its last sign of life, where that is no older than `age`; else as it answers
    /// within `limit`.
    pub async fn state_lately(&self, age: Duration, limit: Duration) -> Option<String> {
        let (at, state) = self.pongs.borrow().clone();
        if at.elapsed() <= age { Some(state) } else { self.state_within(limit).await }
    }

    /// Asks for a sign of life now; what it returns waits for the answer to just this one, and tells how long that took.
    /// None: the session is over.
    pub async fn ask(&self) -> impl Future<Output = Option<Duration>> + use<> {
        let (asked, number) = (Instant::now(), self.mouth.ping().await);
        let (mut answered, mut over) = (self.answered.clone(), self.over.clone());
        async move {
            let number = number?;
            tokio::select! {
                heard = answered.wait_for(|count| *count >= number) => heard.ok().map(|_| asked.elapsed()),
                _ = over.wait_for(|over| *over) => None,
            }
        }
    }

    /// How long the host waits for a word.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// Whether the channel has ended.
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until nobody holds this host for us any more: the channel ends, or the host is silent for so long that it
    /// has given us up as well.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.over() => {}
            () = Session::quiet(self.pongs.clone(), self.silence) => {}
        }
    }

    /// Waits until the channel ends.
    pub async fn over(&self) {
        // The sender goes only after it has said so.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }

    /// End of input: the host puts back what was live and frees the lock. Its answers can still be read.
    pub async fn let_go(&mut self) {
        self.pinger.abort();
        *self.mouth.stdin.lock().await = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pinger.abort();
    }
}

/// Pings in a task of its own: builds, pauses and other hosts' work must not look like silence.
async fn ping(mouth: Arc<Mouth>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if mouth.ping().await.is_none() {
            return;
        }
    }
}

impl Mouth {
    /// Whether it could be said.
    async fn say(&self, word: &str) -> bool {
        Self::write(&mut *self.stdin.lock().await, word).await
    }

    /// The number of the ping that was sent: the host answers them in order.
    async fn ping(&self) -> Option<u64> {
        let mut stdin = self.stdin.lock().await;
        let sent = Self::write(&mut stdin, "ping").await;
        sent.then(|| self.pings.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn write(stdin: &mut Option<Stdin>, word: &str) -> bool {
        match stdin {
            Some(stdin) => stdin.write_all(format!("{word}\n").as_bytes()).await.is_ok() && stdin.flush().await.is_ok(),
            None => false,
        }
    }
}

/// Turns progress into events.
pub(super) fn forward(events: &Events, step: &'static str, reply: Reply) {
    match reply {
        Reply::Note(text) => events.send(EventKind::StepNote { step, text }),
        Reply::Log(line) => events.send(EventKind::Output { step, line }),
        Reply::Warn(text) => events.warn(text),
        Reply::Removed(release) => events.send(EventKind::StepNote { step, text: format!("removed {release}") }),
        Reply::Fact(key, value) if key == "warn" => events.warn(value),
        _ => {}
    }
}
