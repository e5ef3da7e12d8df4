//! The host's side: what is run there (one POSIX sh file per job) and what it answers. The scripts' texts, the
//! variables each needs, and the parsers of their answers live here; running them is a transport's work.

pub mod facts;
mod hostile;
pub mod record;
pub mod reply;
pub mod script;

pub use facts::Facts;
pub use record::Record;
pub use reply::Reply;
pub use script::{Script, assignments, pairs};

/// Shared functions.
pub const LIB: &str = include_str!("lib.sh");
/// How a script of a session begins.
pub const JOINED: &str = include_str!("joined.sh");
/// Where tools are found.
pub const PATH: &str = include_str!("path.sh");
/// The lock.
pub const LOCK: &str = include_str!("lock.sh");
/// The app's home.
pub const HOME: &str = include_str!("home.sh");
/// Facts.
pub const FACTS: &str = include_str!("facts.sh");
/// Manifest checks.
pub const VERIFY: &str = include_str!("verify.sh");
/// What a release can be made of.
pub const HELD: &str = include_str!("held.sh");
/// Making it of that.
pub const REUSE: &str = include_str!("reuse.sh");
/// Assets that stay.
pub const ASSETS: &str = include_str!("assets.sh");
/// Removal of old releases.
pub const PRUNE: &str = include_str!("prune.sh");
/// The jobs.
pub const JOB: &str = include_str!("job.sh");
/// The switch in place.
pub const SWITCH: &str = include_str!("switch.sh");
/// The event loop.
pub const SESSION: &str = include_str!("session.sh");
/// A side channel's job.
pub const SIDE: &str = include_str!("side.sh");
/// Taking a release in.
pub const RECEIVE: &str = include_str!("receive.sh");
/// A line of the user's own.
pub const LINE: &str = include_str!("line.sh");
/// What hooks did and nobody took back.
pub const UNDONE: &str = include_str!("undone.sh");
/// A hook.
pub const HOOK: &str = include_str!("hook.sh");
/// Checking a release that is here.
pub const CHECK: &str = include_str!("check.sh");
/// Writing down what became of a release.
pub const MARK: &str = include_str!("mark.sh");
/// Looking without touching.
pub const LOOK: &str = include_str!("look.sh");
/// Holding deploys.
pub const HOLD: &str = include_str!("hold.sh");
/// What only `check` asks.
pub const SURVEY: &str = include_str!("survey.sh");
/// Taking a lock away.
pub const UNLOCK: &str = include_str!("unlock.sh");
