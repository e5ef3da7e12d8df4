//! What a client can be like: by which way it comes, what it asks for, and what it does with a connection. Data only.

use std::fmt;

/// By which way a request comes to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// To the app's own port.
    Direct,
    /// nginx with a plain `proxy_pass`: a connection to the app for each request.
    Nginx,
    /// nginx that keeps its connections to the app.
    NginxKept,
    /// Caddy, which always keeps them.
    Caddy,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// A GET whose answer holds a number of this request alone.
    Get,
    /// A POST whose body comes back.
    Post,
    /// A GET that takes three seconds.
    Slow,
}

/// One kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) way: Way,
    pub(crate) ask: Ask,
    /// Whether it keeps its connection for the next request.
    pub(crate) kept: bool,
}

/// Every kind that comes by these ways.
pub(crate) fn by(ways: &[Way]) -> Vec<Kind> {
    let of = |way: &Way| {
        let way = *way;
        [Ask::Get, Ask::Post, Ask::Slow].map(|ask| [true, false].map(|kept| Kind { way, ask, kept })).concat()
    };
    ways.iter().flat_map(of).collect()
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::Direct => "direct",
            Way::Nginx => "nginx",
            Way::NginxKept => "nginx, kept",
            Way::Caddy => "Caddy",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ask = match self.ask {
            Ask::Get => "GET",
            Ask::Post => "POST",
            Ask::Slow => "GET of 3 s",
        };
        let connection = if self.kept { "keep-alive" } else { "new connections" };
        f.pad(&format!("{}: {ask}, {connection}", self.way))
    }
}
