//! shipit: from a project to a verified, reversible release on your own servers.
//!
//! The map, lowest layer first. A module may use those above it in this list (the layers below it in the
//! house), never those after it; `tests/rules.rs` enforces that.

// words
pub mod text; // counts, sizes, durations, and cleaning of untrusted text
pub mod problem; // one mistake in a config file, and how it is shown
pub mod error; // what can go wrong: message, hint and exit code side by side

// nouns
pub mod release; // release ids and states: made, parsed and ordered here only
pub mod secret; // masks the values of `secrets` in everything that leaves the program
pub mod event; // what happened, flat and serialisable

// what the user wants
pub mod config; // deploy.toml: schema, load, check
pub mod init; // a project looked at, and what its first deploy.toml says

// what is shipped
pub mod artifact; // mapping of files, manifest, checks, archive; presets

// how the host is spoken to
pub mod remote; // scripts (the only quoting), replies, records; one POSIX sh file per job
pub mod service; // pm2, command, none: how a release becomes the running one
pub mod proxy; // nginx, caddy: two colours, and which one gets the requests

// what will happen
pub mod plan; // steps in order, each with its undo: pure and printable

// doing
pub mod transport; // ssh, local: the only places that start something on a host
pub mod engine; // hosts, sessions, barriers, verification, cancel

// saying
pub mod report; // bars, plain, github, json: events to people and programs

// verbs
pub mod cli; // the command line as data
pub mod command; // one file per verb
