//! A TCP proxy on loopback that can go silent, be cut, be slow, and that counts what crosses it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::ports;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// A running proxy; `port` is what clients connect to.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    frozen: Mutex<bool>,
    thawed: Condvar,
    open: Mutex<Vec<Arc<Pair>>>,
    stop: AtomicBool,
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    /// Whether the client has spoken since it was last answered.
    asked: AtomicBool,
    delay_ms: AtomicU64,
    bytes_per_second: AtomicU64,
}

/// One connection: both of its sockets.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
}

/// Bytes on their way, with the moment at which they may arrive.
#[derive(Default)]
struct Queue {
    chunks: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    filled: Condvar,
}

impl Proxy {
    /// Starts one in front of `target` on loopback.
    pub(crate) fn start(target: u16) -> Proxy {
        let port = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                accepting.wait_while_frozen();
                match TcpStream::connect((Ipv4Addr::LOCALHOST, target)) {
                    Ok(server) => serve(&accepting, client, server),
                    Err(_) => drop(client),
                }
            }
        });
        Proxy { port, shared }
    }

    /// From now on no byte moves in either direction, and no end of a connection is told; new connections are
    /// accepted by the kernel and hear nothing.
    pub(crate) fn freeze(&self) {
        *self.shared.frozen() = true;
    }

    /// Everything that waited moves on.
    pub(crate) fn thaw(&self) {
        *self.shared.frozen() = false;
        self.shared.thawed.notify_all();
    }

    /// Closes every open connection at both ends; what was on its way is lost. New ones are served.
    pub(crate) fn cut(&self) {
        let pairs = std::mem::take(&mut *self.shared.open.lock().expect("no thread panics with it"));
        for pair in pairs {
            pair.close();
        }
        self.shared.thawed.notify_all();
    }

    /// What is sent from now on takes this much longer in each direction.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// From now on no more than this crosses in a second, each way; 0: no limit.
    pub(crate) fn limit(&self, bytes_per_second: u64) {
        self.shared.bytes_per_second.store(bytes_per_second, Ordering::SeqCst);
    }

    /// How many bytes have crossed.
    pub(crate) fn crossed(&self, way: Way) -> u64 {
        self.shared.counter(way).load(Ordering::SeqCst)
    }

    /// How often the client began to speak after it had been told something: each time may have cost a round trip.
    pub(crate) fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thaw();
        self.cut();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn frozen(&self) -> MutexGuard<'_, bool> {
        self.frozen.lock().expect("no thread panics with it")
    }

    fn wait_while_frozen(&self) {
        let mut frozen = self.frozen();
        while *frozen && !self.stop.load(Ordering::SeqCst) {
            frozen = self.thawed.wait(frozen).expect("no thread panics with it");
        }
    }

    fn counter(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }
}

impl Pair {
    fn close(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let pair = Arc::new(Pair { client, server, cut: AtomicBool::new(false) });
    shared.open.lock().expect("no thread panics with it").push(pair.clone());
    for way in [Way::Up, Way::Down] {
        let queue = Arc::new(Queue::default());
        let (from, to) = match way {
            Way::Up => (&pair.client, &pair.server),
            Way::Down => (&pair.server, &pair.client),
        };
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return pair.close() };
        let (reading, filling) = (shared.clone(), queue.clone());
        std::thread::spawn(move || take_in(&reading, from, &filling, way));
        let (writing, pair) = (shared.clone(), pair.clone());
        std::thread::spawn(move || give_out(&writing, &pair, to, &queue, way));
    }
}

/// Reads into the queue until the end, which an empty chunk tells.
fn take_in(shared: &Shared, mut from: TcpStream, queue: &Queue, way: Way) {
    let mut buffer = [0; 16 * 1024];
    let mut free_at = Instant::now();
    loop {
        let n = from.read(&mut buffer).unwrap_or(0);
        // Both are seen where the client is: what it says while an answer is on its way is no answer to that.
        if way == Way::Up && n > 0 && !shared.asked.swap(true, Ordering::SeqCst) {
            shared.turns.fetch_add(1, Ordering::SeqCst);
        }
        let rate = shared.bytes_per_second.load(Ordering::SeqCst);
        if rate > 0 {
            free_at = free_at.max(Instant::now()) + Duration::from_secs_f64(n as f64 / rate as f64);
            std::thread::sleep(free_at.saturating_duration_since(Instant::now()));
        }
        let due = Instant::now() + Duration::from_millis(shared.delay_ms.load(Ordering::SeqCst));
        queue.chunks.lock().expect("no thread panics with it").push_back((due, buffer[..n].to_vec()));
        queue.filled.notify_one();
        if n == 0 {
            return;
        }
    }
}

fn give_out(shared: &Shared, pair: &Pair, mut to: TcpStream, queue: &Queue, way: Way) {
    loop {
        let mut chunks = queue.chunks.lock().expect("no thread panics with it");
        let (due, bytes) = loop {
            match chunks.pop_front() {
                Some(chunk) => break chunk,
                None => chunks = queue.filled.wait(chunks).expect("no thread panics with it"),
            }
        };
        drop(chunks);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        shared.wait_while_frozen();
        if pair.cut.load(Ordering::SeqCst) {
            return;
        }
        if bytes.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        if way == Way::Down {
            shared.asked.store(false, Ordering::SeqCst);
        }
        if to.write_all(&bytes).is_err() {
            return pair.close();
        }
        shared.counter(way).fetch_add(bytes.len() as u64, Ordering::SeqCst);
    }
}
