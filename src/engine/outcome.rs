//! What a run came to: from what happened on each host to one exit code, one sentence on the state of production, and
//! what to do next. Pure.

use crate::error::Error;
use crate::event::HostState;
use crate::plan::Verb;
use crate::text::list;

/// How one host ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The host.
    pub host: String,
    /// What it runs.
    pub state: HostState,
    /// Whether it told of itself at all.
    pub heard: bool,
    /// What was live there before; none: nothing was, or it was never heard.
    pub previous: Option<String>,
    /// Why it is not known, or that it was unhealthy before.
    pub detail: String,
    /// Why what runs can't be proved there; none: it is, where that was asked for.
    pub doubt: Option<String>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: u8,
    /// The state of production, in a sentence.
    pub state: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// The release of this run.
    pub release: Option<String>,
    /// What was live before, where all hosts agree.
    pub previous: Option<String>,
    /// What failed.
    pub error: Option<Error>,
    /// Each host.
    pub hosts: Vec<Ending>,
}

/// Judges a run.
pub(super) fn judge(
    verb: Verb,
    stage: &str,
    path: &str,
    release: Option<String>,
    hosts: Vec<Ending>,
    error: Option<Error>,
) -> Outcome {
    let names = |state: HostState| -> Vec<&str> {
        hosts.iter().filter(|host| host.state == state).map(|host| host.host.as_str()).collect()
    };
    let (released, reverted, unknown) =
        (names(HostState::Released), names(HostState::Reverted), names(HostState::Unknown));
    let mixed = !released.is_empty() && released.len() < hosts.len();
    let cancelled = matches!(error, Some(Error::Cancelled));
    let code = match &error {
        _ if !unknown.is_empty() || mixed => 5,
        None => 0,
        Some(Error::AfterSwitch { .. }) if !released.is_empty() => 6,
        // Every host has it: only an answer was lost on the way.
        Some(_) if !released.is_empty() => 0,
        Some(_) if cancelled => 130,
        Some(_) if !reverted.is_empty() => 4,
        Some(error) => error.exit_code(),
    };
    let mut previous: Vec<Option<String>> = hosts.iter().map(|host| host.previous.clone()).collect();
    previous.sort();
    previous.dedup();
    let previous = if previous.len() == 1 { previous.remove(0) } else { None };
    let live =
        previous.clone().map_or_else(|| "what was live before".to_owned(), |id| format!("{id}, what was live before,"));
    let nothing_before = !hosts.is_empty() && hosts.iter().all(|host| host.heard && host.previous.is_none());
    let new = release.clone().unwrap_or_default();
    let state = match code {
        5 if mixed => format!(
            "mixed: {new} is live on {}, not on {}",
            list(&released),
            list(&hosts.iter().filter(|h| h.state != HostState::Released).map(|h| h.host.as_str()).collect::<Vec<_>>())
        ),
        5 => format!("not known on {}: a human must look", list(&unknown)),
        6 => format!("{new} is live on {} in {path}/current; what came after it failed", list(&released)),
        0 => match verb {
            Verb::Deploy | Verb::Rollback => {
                let doubt = hosts.iter().find_map(|host| host.doubt.as_ref());
                let doubt = doubt.map_or(String::new(), |why| format!("; not provable here: {why}"));
                format!("{new} is live on {} in {path}/current{doubt}", list(&released))
            }
            Verb::Cleanup => "old releases are gone, what is live or in use is not".into(),
            Verb::Recover => "nothing is left unfinished".into(),
        },
        _ if !reverted.is_empty() && nothing_before => "nothing is live, as before".into(),
        _ if !reverted.is_empty() => {
            let proved = hosts.iter().filter(|host| host.state == HostState::Reverted).all(|host| host.doubt.is_none());
            let proof = if proved { " and proved" } else { ", which can't be proved here," };
            format!("{live} is live again{proof} on {}", list(&reverted))
        }
        _ if nothing_before => "nothing is live, as before; nothing was switched".into(),
        _ => "production was not touched".into(),
    };
    let hint = match code {
        5 if mixed => mend(stage, &new, &hosts),
        5 => format!("shipit status {stage}; then shipit recover {stage}"),
        1 | 4 if matches!(error, Some(Error::Step { .. })) => {
            let verb = verb.word();
            format!("mend what failed, then shipit {verb} {stage}; shipit releases {stage} shows why a release failed")
        }
        _ => error.as_ref().map(Error::hint).unwrap_or_default(),
    };
    let error = if code == 0 { None } else { error };
    Outcome { code, state, hint, release, previous, error, hosts }
}

/// The commands that bring hosts together again: forward or back.
fn mend(stage: &str, new: &str, hosts: &[Ending]) -> String {
    let command = |id: &str, state: &dyn Fn(HostState) -> bool| {
        let hosts: String =
            hosts.iter().filter(|host| state(host.state)).map(|host| format!(" --host {}", host.host)).collect();
        format!("shipit rollback {stage} {id}{hosts}")
    };
    let forward = command(new, &|state| state != HostState::Released);
    let old = hosts.iter().find(|host| host.state == HostState::Released).and_then(|host| host.previous.clone());
    match old {
        Some(old) => format!("forward: {forward}\nor back: {}", command(&old, &|state| state == HostState::Released)),
        None => format!("forward: {forward}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, state: HostState) -> Ending {
        Ending {
            heard: true,
            host: name.into(),
            state,
            previous: Some("OLD".into()),
            detail: String::new(),
            doubt: None,
        }
    }

    fn code(states: &[HostState], error: Option<Error>) -> u8 {
        let hosts = states.iter().enumerate().map(|(i, state)| host(&format!("h{i}"), *state)).collect();
        judge(Verb::Deploy, "production", "/srv/blog", Some("NEW".into()), hosts, error).code
    }

    fn failed() -> Option<Error> {
        Some(Error::Step { host: "h0".into(), step: "activate", why: "x".into() })
    }

    #[test]
    fn exit_codes_tell_the_state_of_production() {
        use HostState::*;
        assert_eq!(code(&[Released, Released], None), 0);
        assert_eq!(code(&[Released, Released], failed()), 0, "only the answer to the commit was lost");
        let after = || Some(Error::AfterSwitch { host: "h0".into(), why: "x".into() });
        assert_eq!(code(&[Released, Released], after()), 6);
        assert_eq!(code(&[Released, Unknown], after()), 5);
        assert_eq!(code(&[Untouched], failed()), 1);
        assert_eq!(code(&[Reverted, Untouched], failed()), 4);
        assert_eq!(code(&[Released, Reverted], failed()), 5);
        assert_eq!(code(&[Reverted, Unknown], failed()), 5);
        assert_eq!(code(&[Untouched], Some(Error::Cancelled)), 130);
        assert_eq!(code(&[Reverted], Some(Error::Cancelled)), 130);
        assert_eq!(code(&[Unknown], Some(Error::Cancelled)), 5);
    }

    #[test]
    fn a_mixed_end_prints_both_ways_out() {
        let hosts = vec![host("a", HostState::Released), host("b", HostState::Reverted)];
        let outcome = judge(Verb::Deploy, "production", "/srv/blog", Some("NEW".into()), hosts, failed());
        assert_eq!(
            outcome.hint,
            "forward: shipit rollback production NEW --host b\nor back: shipit rollback production OLD --host a"
        );
    }
}
