//! Free loopback ports. Below the range that the kernel hands to outgoing connections, so that a port that
//! was free a moment ago still is.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const SPAN: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on and that no other test of this process gets.
pub(crate) fn free() -> u16 {
    // Two test processes at once begin at different places.
    let base = (std::process::id() % 97) as u16 * 101;
    for _ in 0..SPAN {
        let port = FIRST + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % SPAN;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no loopback port is free between {FIRST} and {}", FIRST + SPAN);
}
