//! Requests all the while: somebody who would notice a moment in which nobody answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Asks over new connections, one right after the other, until it is dropped: how many were answered, and what was lost.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asks: JoinHandle<(usize, Vec<String>)>,
}

impl Load {
    /// Begins.
    pub(crate) fn start(port: u16) -> Load {
        Load::with_pauses(port, Duration::ZERO)
    }

    /// The same with a pause after each, where others need the machine, too.
    pub(crate) fn with_pauses(port: u16, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let asks = std::thread::spawn(move || {
            let (mut good, mut lost) = (0, Vec::new());
            while !stopping.load(Ordering::SeqCst) {
                match ask(port) {
                    Ok(_) => good += 1,
                    Err(why) => lost.push(why),
                }
                std::thread::sleep(pause);
            }
            (good, lost)
        });
        Load { stop, asks }
    }

    /// Stops, and tells.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        self.asks.join().unwrap()
    }
}

/// What `/health` answers, head and all, where that is 200.
pub(crate) fn ask(port: u16) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(told)?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").map_err(told)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(told)?;
    if text.starts_with("HTTP/1.1 200") && text.contains("\"ok\"") { Ok(text) } else { Err(text) }
}
