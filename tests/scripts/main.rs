//! Every script of the host, run for real by the real binary under each shell that a host may have: dash, bash, and
//! busybox's ash with busybox's own applets as the only tools. The same cases for all three; no ssh, no accounts.

#![allow(clippy::unwrap_used, missing_docs)]

mod assets;
mod bench;
mod check;
mod cleanup;
mod contend;
mod dead;
mod fire;
mod full;
mod deploys;
mod drift;
mod durable;
mod hold;
mod late;
mod lock;
mod odd;
mod packing;
mod random;
mod reboot;
mod records;
mod reuse;
mod path;
mod paused;
mod proxies;
mod power;
mod silent;
mod space;
mod strangers;
mod talk;
mod unproved;
mod storm;

/// The same eyes and hands as in the end-to-end tests. Each suite uses its own part of them.
#[path = "../e2e/support"]
#[allow(dead_code)]
mod support {
    pub(crate) mod apps;
    pub(crate) mod area;
    pub(crate) mod config;
    pub(crate) mod process;
    pub(crate) mod shipit;
    pub(crate) mod site;
    pub(crate) mod tree;
}

/// Makes one test of each case for each shell: `dash::CASE`, `bash::CASE`, `busybox::CASE`.
macro_rules! in_every_shell {
    ($($case:ident)*) => {
        mod dash { $(#[test] fn $case() { super::$case(&mut crate::bench::Shell::Dash.bench()); })* }
        mod bash { $(#[test] fn $case() { super::$case(&mut crate::bench::Shell::Bash.bench()); })* }
        mod busybox { $(#[test] fn $case() { super::$case(&mut crate::bench::Shell::Busybox.bench()); })* }
    };
}
pub(crate) use in_every_shell;
