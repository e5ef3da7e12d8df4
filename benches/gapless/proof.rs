//! The client against a server that does wrong on purpose, before anything is measured: who can't see a lost request must
//! not say that none was lost. Also counts what the server was sent, which nobody may be sent twice.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::kinds::{Ask, Kind, Way};
use crate::load::{Load, Rate};
use crate::tally::{Count, Phase};
use crate::wire::Fault;

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Answers,
    /// Closes the connection instead.
    Closes,
    /// Does so only to the second request of a connection.
    ClosesSecond,
    /// Closes a connection that is idle: nothing is lost.
    ClosesIdle,
    Cuts,
    Hangs,
    Sick,
    Another,
}

/// Fails unless each deed is counted as what it is.
pub(crate) fn prove() {
    use Deed::{Another, Answers, Closes, ClosesIdle, ClosesSecond, Cuts, Hangs, Sick};
    for (deed, fault) in [
        (Closes, Fault::Closed),
        (Cuts, Fault::Cut),
        (Hangs, Fault::Hung),
        (Sick, Fault::Status(502)),
        (Another, Fault::Wrong),
    ] {
        for kept in [true, false] {
            let count = play(deed, kept);
            assert_eq!(count.failed, BTreeMap::from([(fault.clone(), count.requests)]), "{deed:?}");
            assert_eq!(count.resent, 0, "nobody answers the second time either: {deed:?}");
        }
    }
    for (deed, kept) in [(Answers, true), (Answers, false), (ClosesSecond, false), (ClosesIdle, true)] {
        let count = play(deed, kept);
        assert_eq!(count.failed(), 0, "{deed:?} {count:?}");
        assert!(count.gap > Duration::ZERO && count.gap < Duration::from_secs(2), "{deed:?} {count:?}");
    }
    let count = play(ClosesSecond, true);
    assert!(count.resent > 0 && count.failed == BTreeMap::from([(Fault::Closed, count.resent)]), "{count:?}");
    let nobody = count_of(0, true, || ());
    assert_eq!(nobody.failed, BTreeMap::from([(Fault::Refused, nobody.requests)]));
}

fn play(deed: Deed, kept: bool) -> Count {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: &'static AtomicUsize = Box::leak(Box::default());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, deed, heard));
        }
    });
    // Enough of each: a client that is counted as reusing a connection has to have come back.
    let count = count_of(port, kept, || {
        while heard.load(Ordering::SeqCst) < 6 {
            std::thread::yield_now()
        }
    });
    assert_eq!(heard.load(Ordering::SeqCst) as u64, count.requests + count.resent, "each is sent once: {deed:?}");
    count
}

fn count_of(port: u16, kept: bool, wait: impl FnOnce()) -> Count {
    let kind = Kind { way: Way::Direct, ask: Ask::Post, kept };
    let rate = Rate { clients: 1, pause: 10, limit: Duration::from_millis(300), slow: 0 };
    let load = Load::start(&[kind], BTreeMap::from([(Way::Direct, port)]), rate);
    while load.look(|tally| tally.sum(|_, _| true).requests) < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    wait();
    load.finish().sum(|phase, of| phase == Phase::Good && of == kind)
}

fn serve(mut stream: TcpStream, deed: Deed, heard: &AtomicUsize) {
    let mut got = Vec::new();
    for nth in 1.. {
        let Some(body) = request(&mut stream, &mut got) else { return };
        heard.fetch_add(1, Ordering::SeqCst);
        if deed == Deed::Closes || (deed == Deed::ClosesSecond && nth == 2) {
            return;
        }
        if deed == Deed::Hangs {
            // Until the client gives up.
            let _ = stream.read(&mut [0; 64]);
            return;
        }
        let echo = if deed == Deed::Another { "another's" } else { &body };
        let answer = format!("{{\"release\":\"v1\",\"echo\":\"{echo}\"}}");
        let status = if deed == Deed::Sick { 502 } else { 200 };
        let text = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        let end = if deed == Deed::Cuts { text.len() - 1 } else { text.len() };
        let _ = stream.write_all(&text.as_bytes()[..end]);
        if matches!(deed, Deed::Cuts | Deed::ClosesIdle) {
            return;
        }
    }
}

/// The body of the next request; none when there is none.
fn request(stream: &mut TcpStream, got: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head.split("Content-Length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
            if body.len() >= length {
                got.drain(..head.len() + 4 + length);
                return Some(body[..length].to_owned());
            }
        }
        let mut more = [0; 4096];
        let n = stream.read(&mut more).ok().filter(|n| *n > 0)?;
        got.extend(&more[..n]);
    }
}
