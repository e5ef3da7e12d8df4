//! The real binary on real parts: private sshds, accounts, PM2 daemons and network faults. `tests/run` makes
//! the accounts and installs the programs; every test makes the rest for itself, so all run side by side.

#![allow(clippy::unwrap_used, missing_docs)]

mod action;
mod artifact;
mod astro;
mod bad;
mod bench_itself;
mod check;
mod cleanup;
mod colours;
mod first;
mod fleet;
mod fourteen;
mod github;
mod command;
mod hooks;
mod hostile;
mod hosts;
mod init;
mod killed;
mod late;
mod liar;
mod load;
mod lock;
mod logins;
mod machine;
mod memory;
mod migrate;
mod mistakes;
mod next;
mod node;
mod picture;
mod permissions;
mod pinned;
mod plan;
mod record;
mod resume;
mod secrets;
mod shared;
mod silent;
mod soak;
mod terminal;
mod turns;
mod support;
