//! One host of a run: its connection, its session, its facts, and how far it is. Each method is one thing a host does;
//! the order of things is run.rs's business.

use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};

use super::carry::carry;
use super::held::Telling;
use super::scripts::{Beginning, Home};
use super::session::{Opening, Session, forward};
use crate::artifact::Held;
use crate::config::{Config, Host};
use crate::error::{Error, Result};
use crate::event::{EventKind, Events};
use crate::proxy;
use crate::release::{ReleaseId, State};
use crate::remote::{Facts, Reply, Script};
use crate::secret::Mask;
use crate::service;
use crate::transport::Transport;

/// How long a session may take to begin: connecting is bounded by ssh; recovery may revert a whole service first.
fn begin_limit(config: &Config) -> Duration {
    let proxy = config.proxy.as_ref().map(proxy::back_limit).unwrap_or_default();
    service::revert_limit(&config.service, &config.health, 0) + proxy + Duration::from_secs(60)
}

/// How long a host may take to answer whether its session goes on.
const ANSWER: Duration = Duration::from_secs(10);
/// How much of a payload may wait to be carried, in bytes.
const PIPE: usize = 128 * 1024;
/// How many lines of what a hook prints are kept, to explain its failure.
const LAST_LINES: usize = 40;

/// How far a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No session.
    Closed,
    /// The session holds the lock; nothing was switched.
    Idle,
    /// `activate` was sent.
    Active,
    /// Switched, proved, held.
    Held,
    /// `commit` was sent; not answered yet.
    Committing,
    /// Committed.
    Committed,
    /// Put back and proved.
    Reverted,
    /// Could not be put back.
    Stuck(String),
    /// The link is gone or silent.
    Lost,
}

/// One host.
pub struct HostRun {
    /// As configured.
    pub host: Host,
    /// Events that carry its name.
    pub events: Events,
    /// What every script is told.
    pub home: Home,
    /// The connection.
    pub transport: Option<Transport>,
    /// The session.
    pub session: Option<Session>,
    /// What it told at its start.
    pub facts: Facts,
    /// How far it is.
    pub phase: Phase,
    /// Why what runs there can't be proved, where its session said so.
    pub doubt: Option<String>,
}

/// What a session's start came to.
pub enum Begun {
    /// The lock is held.
    Idle,
    /// Somebody else holds it.
    Locked(String, String),
}

/// What a side channel's job said.
#[derive(Debug, Default)]
pub struct Said {
    /// Its exit code; none: the channel ended before it did.
    pub code: Option<i32>,
    /// Why it failed.
    pub why: String,
    /// Log lines it sent.
    pub log: Vec<String>,
    /// What else it answered.
    pub replies: Vec<Reply>,
    telling: Telling,
}

impl Said {
    /// What a new release could be made of, where it was asked to tell; none where that can't be used.
    pub async fn held(&self) -> Option<Held> {
        if self.telling.is_whole() { self.telling.whole().await } else { None }
    }
}

impl HostRun {
    /// A host that nothing was done with yet.
    pub fn new(host: Host, home: Home, events: &Events) -> HostRun {
        let events = events.of(&host.name);
        let (facts, phase) = (Facts::default(), Phase::Closed);
        HostRun { host, events, home, transport: None, session: None, facts, phase, doubt: None }
    }

    /// Connects, once.
    pub async fn connect(&mut self, config: &Config, terminal: bool) -> Result<()> {
        if self.transport.is_none() {
            self.transport = Some(Transport::connect(&self.host, &config.ssh, terminal).await?);
        }
        Ok(())
    }

    fn transport(&self) -> Result<&Transport> {
        self.transport.as_ref().ok_or_else(|| self.lost("connect"))
    }

    /// Opens the session: takes the lock and learns the facts.
    pub async fn begin(&mut self, config: &Config, opening: &Beginning<'_>) -> Result<Begun> {
        let script = self.home.session(config, opening)?;
        let transport = self.transport()?;
        let running = transport.start(&script).await?;
        if opening.receives {
            transport.open_ahead();
        }
        let opening = Session::open(running, config.rollout.silence, begin_limit(config), self.events.clone()).await;
        match opening.map_err(|error| self.named(error))? {
            Opening::Idle(session, facts) => {
                self.session = Some(session);
                self.facts = *facts;
                self.phase = Phase::Idle;
                Ok(Begun::Idle)
            }
            Opening::Locked(who, since) => Ok(Begun::Locked(who, since)),
            Opening::Refused(facts) => {
                self.facts = *facts;
                Err(Error::Preflight { host: self.host.name.clone(), findings: self.facts.refusals.clone() })
            }
            Opening::Stuck(why) => {
                self.phase = Phase::Stuck(why.clone());
                Err(Error::Step {
                    host: self.host.name.clone(),
                    step: "connect",
                    why: format!("an earlier run could not be put right: {why}"),
                })
            }
        }
    }

    /// Puts this host's name into an error that was made below it.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::Lost { step, detail, .. } => {
                let words = self.transport.as_ref().map(Transport::last_words).unwrap_or_default();
                let detail = if words.is_empty() { detail } else { format!("{detail} ({words})") };
                Error::Lost { host: self.host.name.clone(), step, detail }
            }
            other => other,
        }
    }

    /// The link is gone, during `step`.
    pub fn lost(&self, step: &'static str) -> Error {
        let words = self.transport.as_ref().map(Transport::last_words).unwrap_or_default();
        let detail = if words.is_empty() { "the host is not heard any more".into() } else { words };
        Error::Lost { host: self.host.name.clone(), step, detail }
    }

    /// Sends a word, which brings the host into the phase `sent`, and waits for the answer it leads to. No answer: the
    /// host is lost.
    pub async fn ask(&mut self, word: &str, sent: Phase, limit: Duration, step: &'static str) -> Result<Reply> {
        let before = std::mem::replace(&mut self.phase, sent);
        let answer = match &mut self.session {
            Some(session) => {
                session.word(word).await;
                session.answer(limit, &self.events, step).await
            }
            None => None,
        };
        match answer {
            // A goodbye is no answer: the session ended before it heard the word, and nothing came of it.
            Some(Reply::Bye(_)) => {
                self.phase = before;
                Err(self.over(step))
            }
            None => {
                self.phase = Phase::Lost;
                Err(self.lost(step))
            }
            Some(answer) => Ok(answer),
        }
    }

    /// Runs a script beside the session and reads what it says; `payload` is written to its input first.
    /// Ends early when the session ends: without the lock nothing more may happen here.
    pub async fn side(
        &self,
        script: &Script,
        step: &'static str,
        limit: Duration,
        payload: Option<&mut (dyn Payload + Send)>,
    ) -> Result<Said> {
        let mut running = self.transport()?.start(script).await?;
        let stdin = running.stdin.take();
        let until = Instant::now() + limit;
        let mut said = Said::default();
        {
            let sending = async {
                // Held to the end of this block: an open input means go on.
                let mut stdin = stdin;
                match (payload, &mut stdin) {
                    (Some(payload), Some(to)) => {
                        let (mut near, far) = tokio::io::duplex(PIPE);
                        let sending = async {
                            let sent = payload.send(&mut near).await;
                            drop(near);
                            sent
                        };
                        let (sent, ()) = tokio::join!(sending, carry(far, to, self.session.as_ref()));
                        stdin = None;
                        drop(stdin);
                        sent
                    }
                    _ => std::future::pending().await,
                }
            };
            let reading = async {
                while let Ok(Some(reply)) = timeout_at(until, running.replies.recv()).await {
                    match reply {
                        Reply::Done(code) => {
                            said.code = Some(code);
                            break;
                        }
                        Reply::Why(why) => said.why = why,
                        Reply::Log(line) => said.log.push(line),
                        Reply::Out(line) => {
                            if said.log.len() == LAST_LINES {
                                said.log.remove(0);
                            }
                            said.log.push(line.clone());
                            forward(&self.events, step, Reply::Log(line));
                        }
                        note @ Reply::Note(_) => forward(&self.events, step, note),
                        Reply::Pong(_) => {}
                        other => said.replies.extend(said.telling.take(other)),
                    }
                }
            };
            let over = async {
                match &self.session {
                    Some(session) => session.over().await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(sending, reading);
            tokio::select! {
                sent = &mut sending => {
                    sent?;
                    reading.await;
                }
                () = &mut reading => {}
                // A session that is over has ended its side channels; what they would say now means nothing.
                () = over => return Err(self.lost(step)),
            }
        }
        if said.code.is_none() && said.why.is_empty() {
            said.why = match running.log().pop() {
                Some(line) => line,
                None if Instant::now() >= until => format!("no end within {}", crate::text::duration(limit)),
                None => return Err(self.lost(step)),
            };
        }
        Ok(said)
    }

    /// Runs one of the session's jobs on a side channel; anything but success is this step's failure.
    pub async fn job(&self, job: &'static str, arg: &str, step: &'static str, limit: Duration) -> Result<Said> {
        let said = self.side(&self.home.side(job, arg), step, limit, None).await?;
        if said.code == Some(0) { Ok(said) } else { Err(self.job_failed(job, said, step).await) }
    }

    /// Why a job on a side channel came to no good end.
    pub async fn job_failed(&self, job: &'static str, said: Said, step: &'static str) -> Error {
        // A session that ends takes its side channels with it: then this job was ended, it did not fail.
        if !self.goes_on("").await {
            return self.over(step);
        }
        self.tell_log("the last lines of the log", said.log);
        self.failed(step, if said.why.is_empty() { format!("{job} failed") } else { said.why })
    }

    /// Whether the session is there and in this state; empty: in one that has not begun to put anything back.
    pub async fn goes_on(&self, wanted: &str) -> bool {
        let Some(session) = &self.session else { return false };
        match session.state_within(ANSWER).await.as_deref() {
            Some(state) if wanted.is_empty() => matches!(state, "idle" | "held"),
            Some(state) => state == wanted,
            None => false,
        }
    }

    /// The session has ended by itself, during `step`: somebody on the host has asked it to, or it is not heard.
    pub fn over(&self, step: &'static str) -> Error {
        let detail = "its session on the host has ended".to_owned();
        Error::Lost { host: self.host.name.clone(), step, detail }
    }

    /// Whether the session ended by itself.
    pub fn session_over(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_over)
    }

    /// Whether the host has left the run by itself: what failed then is not the release's fault.
    pub fn has_left(&self) -> bool {
        self.session.as_ref().is_some_and(Session::has_left)
    }

    /// A failure of this host.
    pub fn failed(&self, step: &'static str, why: impl Into<String>) -> Error {
        Error::Step { host: self.host.name.clone(), step, why: why.into() }
    }

    /// Shows log lines that explain a failure.
    pub fn tell_log(&self, title: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.events.send(EventKind::Log { title: title.to_owned(), lines });
        }
    }

    /// Writes down what became of a release. A failure here is not worth failing for.
    pub async fn mark(&self, id: &ReleaseId, state: State, why: &str) {
        // What the host wrote itself may hold what its tools printed.
        let script = self.home.mark(id, state, &Mask::known().apply(why));
        let _ = self.side(&script, "end", Duration::from_secs(20), None).await;
    }

    /// Ends the session: the host frees the lock. True where it said goodbye.
    pub async fn end_session(&mut self) -> bool {
        let Some(mut session) = self.session.take() else { return false };
        session.word("end").await;
        let heard = goodbye(&mut session, &self.events, Duration::from_secs(30)).await;
        self.doubt = session.doubt().map(str::to_owned);
        if self.phase == Phase::Idle {
            self.phase = Phase::Closed;
        }
        heard
    }

    /// Ends the session and the connection. True where the host said goodbye.
    pub async fn end(&mut self) -> bool {
        let heard = self.end_session().await;
        if let Some(transport) = self.transport.take() {
            transport.close().await;
        }
        heard
    }
}

/// Reads on until the session is over.
pub(super) async fn goodbye(session: &mut Session, events: &Events, limit: Duration) -> bool {
    loop {
        match session.answer(limit, events, "end").await {
            Some(Reply::Bye(_)) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// Something that is written to a script's input.
pub trait Payload {
    /// Writes all of it. An error is one of this machine (a file that changed); a remote that closed is none.
    fn send<'a>(
        &'a mut self,
        to: &'a mut (dyn AsyncWrite + Send + Unpin),
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
}
