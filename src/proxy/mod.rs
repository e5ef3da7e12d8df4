//! Blue-green: two colours of a service, each on a port of its own, and the proxy in front that is told which one gets the
//! requests. A proxy is data plus one sh file with these words:
//!
//! - `proxy_file`: where what is written for it lies, below `.shipit/proxy/`
//! - `proxy_render BLUE GREEN`: that file's text, by the weights of the colours; `0 0`: nothing is live
//! - `proxy_suits`: refuses a proxy on the host that is too old for the settings, and warns of what its reload can't do there
//! - `proxy_shows DUMP`: why what the proxy would run with, as its test line prints it, leads to no colour; else nothing
//! - `proxy_learn DUMP`: what tells the proxy's own process from others, for these two words
//! - `proxy_before`, `proxy_taken`: the state before a reload, and whether it has been taken over since
//!
//! The order of things is `colours.sh`'s business: the same words as `remote/switch.sh`. Adding one: a variant in
//! `config::ProxyKind`, an `.sh` file here, an arm in each `match` below.

use std::time::Duration;

use crate::config::{Proxy, ProxyKind, Retire};
use crate::text::list;

const COLOURS: &str = include_str!("colours.sh");
const NGINX: &str = include_str!("nginx.sh");
const CADDY: &str = include_str!("caddy.sh");

/// How long each may take: the service's save, the proxy's test and reload line, and the proxy to take its config over.
const LINE: Duration = Duration::from_secs(30);

/// The words of a switch between two colours, as sh.
pub fn words(proxy: &Proxy) -> [&'static str; 2] {
    match proxy.kind {
        ProxyKind::Nginx => [NGINX, COLOURS],
        ProxyKind::Caddy => [CADDY, COLOURS],
    }
}

/// What these words read.
pub fn vars(proxy: &Proxy) -> [(&'static str, String); 8] {
    let retire = match proxy.retire {
        Retire::Commit => "commit",
        Retire::Next => "next",
    };
    [
        ("BLUE_PORT", proxy.ports[0].to_string()),
        ("GREEN_PORT", proxy.ports[1].to_string()),
        ("UPSTREAM", proxy.upstream.clone()),
        ("PROXY_TEST", proxy.test.clone()),
        ("PROXY_RELOAD", proxy.reload.clone()),
        ("WEIGHTS", if proxy.shift.len() > 1 { "yes".into() } else { String::new() }),
        ("DRAIN_S", proxy.drain.as_secs().to_string()),
        ("RETIRE", retire.into()),
    ]
}

/// The port of a colour, by the word the host has for it.
pub fn port(proxy: &Proxy, colour: &str) -> Option<u16> {
    match colour {
        "blue" => Some(proxy.ports[0]),
        "green" => Some(proxy.ports[1]),
        _ => None,
    }
}

/// The longest that one shift may take.
pub fn shift_limit() -> Duration {
    LINE * 4
}

/// The longest that the way back may take beside the service's own.
pub fn back_limit(proxy: &Proxy) -> Duration {
    shift_limit() + proxy.drain
}

/// One line for the plan.
pub fn describe(proxy: &Proxy) -> String {
    let shares: Vec<String> = proxy.shift.iter().map(|share| format!("{share}%")).collect();
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    let pause = match proxy.shift.len() {
        1 => String::new(),
        _ => format!(", watched for {} each", crate::text::duration(proxy.pause)),
    };
    format!("{} leads {} of the requests to it{pause}; then current names it", proxy.kind.word(), list(&shares))
}
