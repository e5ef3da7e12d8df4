//! In which way a run switches: the words that its scripts have for it, and how long the end of it may take. Pure.

use std::time::Duration;

use crate::config::Config;
use crate::proxy;
use crate::remote::{self, Script};

/// The words, as sh: in place, or from one colour to the other.
pub(super) fn words(config: &Config) -> Vec<&'static str> {
    config.proxy.as_ref().map_or(vec![remote::SWITCH], |proxy| proxy::words(proxy).to_vec())
}

/// The script with what these read.
pub(super) fn told(script: Script, config: &Config) -> Script {
    let vars = config.proxy.iter().flat_map(proxy::vars);
    vars.fold(script, |script, (name, value)| script.var(name, value))
}

/// How long what follows a commit may take: the record, the service's own list, and the end of an old colour.
pub(super) fn record_limit(config: &Config) -> Duration {
    let end = config.proxy.as_ref().map(|proxy| proxy.drain + config.service.longest() * 2 + Duration::from_secs(60));
    Duration::from_secs(120) + end.unwrap_or_default()
}
