//! The load: a few clients of each kind, which ask without end, each after a short pause of its own. Never asks twice and
//! counts once: what a second try would have brought is told apart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::kinds::{Ask, Kind, Way};
use crate::tally::{Outcome, Phase, Tally};
use crate::wire::{Answer, Fault, Wire};

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Clients, as many of each kind.
    pub(crate) clients: usize,
    /// The mean pause of a client, in milliseconds.
    pub(crate) pause: u64,
    /// Without an answer for so long it hangs.
    pub(crate) limit: Duration,
    /// How long a slow answer takes, in milliseconds.
    pub(crate) slow: u64,
}

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    runtime: Runtime,
    clients: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tally: Mutex<Tally>,
    phase: Mutex<Phase>,
    over: AtomicBool,
    number: AtomicU64,
    ports: BTreeMap<Way, u16>,
    rate: Rate,
}

impl Load {
    /// Begins to ask.
    pub(crate) fn start(kinds: &[Kind], ports: BTreeMap<Way, u16>, rate: Rate) -> Load {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let shared = Arc::new(Shared {
            tally: Mutex::default(),
            phase: Mutex::new(Phase::Good),
            over: AtomicBool::new(false),
            number: AtomicU64::new(1),
            ports,
            rate,
        });
        let clients = kinds.iter().cycle().take(rate.clients).copied();
        let clients = clients.map(|kind| runtime.spawn(shared.clone().client(kind))).collect();
        Load { runtime, clients, shared }
    }

    /// What is sent from now on belongs to `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.shared.phase.lock().expect("nobody panics with it") = phase;
    }

    /// A look at what has been counted so far.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Tally) -> T) -> T {
        at(&self.shared.tally.lock().expect("nobody panics with it"))
    }

    /// Ends it, when each client has the answer that it waits for.
    pub(crate) fn finish(self) -> Tally {
        self.shared.over.store(true, Ordering::SeqCst);
        for client in self.clients {
            self.runtime.block_on(client).expect("a client does not panic");
        }
        std::mem::take(&mut *self.shared.tally.lock().expect("nobody panics with it"))
    }
}

impl Shared {
    async fn client(self: Arc<Shared>, kind: Kind) {
        let mut wire = None;
        while !self.over.load(Ordering::SeqCst) {
            let number = self.number.fetch_add(1, Ordering::SeqCst);
            // Uneven, so that clients don't fall into step: half of the mean, and up to as much again twice.
            let pause = self.rate.pause / 2 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (self.rate.pause + 1);
            sleep(Duration::from_millis(pause)).await;
            let phase = *self.phase.lock().expect("nobody panics with it");
            let sent = Instant::now();
            let outcome = self.ask(kind, number, &mut wire).await;
            self.tally.lock().expect("nobody panics with it").add(phase, kind, sent, outcome);
        }
    }

    /// One request, over `wire` where that is one that may be used again.
    async fn ask(&self, kind: Kind, number: u64, wire: &mut Option<Wire>) -> Outcome {
        let (request, wanted) = self.request(kind, number);
        wire.take_if(|wire| !kind.kept || wire.is_over());
        let reused = wire.is_some();
        let answer = self.answer(kind, wire, &request, &wanted).await;
        let mut resent = false;
        if reused && answer == Err(Fault::Closed) {
            resent = self.answer(kind, wire, &request, &wanted).await.is_ok();
        }
        Outcome { answer, resent }
    }

    /// The release that answers; `wire` is a connection afterwards only where it may be used again.
    async fn answer(&self, kind: Kind, wire: &mut Option<Wire>, request: &[u8], wanted: &str) -> Result<String, Fault> {
        let kept = wire.take();
        let exchange = async {
            let mut wire = match kept {
                Some(wire) => wire,
                None => Wire::open(self.ports[&kind.way]).await?,
            };
            wire.exchange(request).await.map(|answer| (wire, answer))
        };
        let (used, answer) = timeout(self.rate.limit, exchange).await.unwrap_or(Err(Fault::Hung))?;
        *wire = answer.stays.then_some(used);
        judge(&answer, wanted)
    }

    /// A request, and what its answer must bring back.
    fn request(&self, kind: Kind, number: u64) -> (Vec<u8>, String) {
        let connection = if kind.kept { "keep-alive" } else { "close" };
        let head = format!("Host: tiny\r\nConnection: {connection}\r\n");
        // Several packets on a real network, and no two alike.
        let long = || format!("{number} ").repeat(300);
        match kind.ask {
            Ask::Get => (format!("GET /echo?{number} HTTP/1.1\r\n{head}\r\n").into_bytes(), number.to_string()),
            Ask::Slow => {
                let ms = self.rate.slow;
                (format!("GET /slow/{ms}?{number} HTTP/1.1\r\n{head}\r\n").into_bytes(), number.to_string())
            }
            Ask::Post => {
                let (body, length) = (long(), long().len());
                let text = format!("POST /echo HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}");
                (text.into_bytes(), body)
            }
        }
    }
}

fn judge(answer: &Answer, wanted: &str) -> Result<String, Fault> {
    if answer.status != 200 {
        return Err(Fault::Status(answer.status));
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| Fault::Wrong)?;
    let release = body["release"].as_str().filter(|_| body["echo"] == wanted).ok_or(Fault::Wrong)?;
    Ok(release.to_owned())
}
