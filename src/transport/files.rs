//! How many files this process may have open. Each host takes about ten, and some systems begin with 256 in all, though
//! they allow far more to who asks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for a thousand hosts; macOS allows no more to anybody who asks for "as many as there are".
const ENOUGH: u64 = 10_240;

/// Raises the limit as far as the system lets us, up to what is enough. Where it does not, many hosts will fail by name.
pub fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}
