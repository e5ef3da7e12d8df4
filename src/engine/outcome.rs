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
    let of = |state: HostState| names(&hosts, |host| host.state == state);
    let (released, reverted, unknown) = (of(HostState::Released), of(HostState::Reverted), of(HostState::Unknown));
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
    let nothing_before = !hosts.is_empty() && hosts.iter().all(|host| host.heard && host.previous.is_none());
    let new = release.clone().unwrap_or_default();
    let state = match code {
        5 if mixed => tell_mixed(&new, &hosts),
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
        _ if !reverted.is_empty() => tell_reverted(&hosts),
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

/// The names of the hosts that `which` says.
fn names(hosts: &[Ending], which: impl Fn(&Ending) -> bool) -> Vec<&str> {
    hosts.iter().filter(|host| which(host)).map(|host| host.host.as_str()).collect()
}

/// Who has the new release, who has not, and of whom that can't be said.
fn tell_mixed(new: &str, hosts: &[Ending]) -> String {
    let with = names(hosts, |host| host.state == HostState::Released);
    let without = names(hosts, |host| matches!(host.state, HostState::Reverted | HostState::Untouched));
    let unknown = names(hosts, |host| host.state == HostState::Unknown);
    let mut text = format!("mixed: {new} is live on {}", list(&with));
    for (words, hosts) in [("not on", without), ("not known on", unknown)] {
        if !hosts.is_empty() {
            text += &format!(", {words} {}", list(&hosts));
        }
    }
    text
}

/// What hosts that were switched have again. One that is new to the others had nothing.
fn tell_reverted(hosts: &[Ending]) -> String {
    let reverted: Vec<&Ending> = hosts.iter().filter(|host| host.state == HostState::Reverted).collect();
    let mut before: Vec<&String> = reverted.iter().filter_map(|host| host.previous.as_ref()).collect();
    before.dedup();
    let live = match before[..] {
        [one] => format!("{one}, what was live before,"),
        _ => "what was live before".to_owned(),
    };
    let proved = reverted.iter().all(|host| host.doubt.is_none());
    let proof = if proved { " and proved" } else { ", which can't be proved here," };
    let again = names(hosts, |host| host.state == HostState::Reverted && host.previous.is_some());
    let none = names(hosts, |host| host.state == HostState::Reverted && host.previous.is_none());
    let mut parts = Vec::new();
    if !again.is_empty() {
        parts.push(format!("{live} is live again{proof} on {}", list(&again)));
    }
    if !none.is_empty() {
        parts.push(format!("nothing is live on {}, as before", list(&none)));
    }
    parts.join("; ")
}

/// The commands that bring hosts together again: forward or back. A host that was not heard is asked first; one that had
/// nothing before has no way back.
fn mend(stage: &str, new: &str, hosts: &[Ending]) -> String {
    let on = |names: &[&str]| -> String { names.iter().map(|name| format!(" --host {name}")).collect() };
    let mut lines = Vec::new();
    let unknown = names(hosts, |host| host.state == HostState::Unknown);
    if !unknown.is_empty() {
        lines.push(format!("first: shipit recover {stage}{}", on(&unknown)));
    }
    let without = names(hosts, |host| host.state != HostState::Released);
    lines.push(format!("forward: shipit rollback {stage} {new}{}", on(&without)));
    let released = || hosts.iter().filter(|host| host.state == HostState::Released);
    let mut before: Vec<&String> = released().filter_map(|host| host.previous.as_ref()).collect();
    before.sort();
    before.dedup();
    for (n, old) in before.into_iter().enumerate() {
        let had = names(hosts, |host| host.state == HostState::Released && host.previous.as_ref() == Some(old));
        let title = if n == 0 { "or back" } else { "and" };
        lines.push(format!("{title}: shipit rollback {stage} {old}{}", on(&had)));
    }
    let none = names(hosts, |host| host.state == HostState::Released && host.previous.is_none());
    if !none.is_empty() {
        lines.push(format!("{} had nothing before: there is no way back", list(&none)));
    }
    lines.join("\n")
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

    /// One that was new to the others.
    fn new(name: &str, state: HostState) -> Ending {
        Ending { previous: None, ..host(name, state) }
    }

    fn outcome(hosts: Vec<Ending>) -> Outcome {
        judge(Verb::Deploy, "production", "/srv/blog", Some("NEW".into()), hosts, failed())
    }

    #[test]
    fn where_nothing_was_nothing_is_said_to_be_live_again() {
        use HostState::*;
        let told = outcome(vec![host("a", Reverted), host("b", Reverted), new("c", Reverted), host("d", Untouched)]);
        let state = "OLD, what was live before, is live again and proved on a and b; nothing is live on c, as before";
        assert_eq!((told.code, &*told.state), (4, state));
        let mut other = host("b", Reverted);
        other.previous = Some("OTHER".into());
        let told = outcome(vec![host("a", Reverted), other]);
        assert_eq!(told.state, "what was live before is live again and proved on a and b");
        assert_eq!(outcome(vec![new("a", Reverted)]).state, "nothing is live, as before");
    }

    #[test]
    fn a_host_that_was_not_heard_is_not_said_to_lack_the_release() {
        use HostState::*;
        let told = outcome(vec![host("a", Released), host("b", Reverted), host("c", Unknown)]);
        assert_eq!(told.state, "mixed: NEW is live on a, not on b, not known on c");
        assert!(told.hint.starts_with("first: shipit recover production --host c\nforward: "), "{}", told.hint);
        assert_eq!(
            outcome(vec![host("a", Released), host("b", Unknown)]).state,
            "mixed: NEW is live on a, not known on b"
        );
    }

    #[test]
    fn each_host_goes_back_to_what_it_had() {
        use HostState::*;
        let mut other = host("c", Released);
        other.previous = Some("OTHER".into());
        let told = outcome(vec![host("a", Released), host("b", Reverted), other, new("d", Released)]);
        let hint = "forward: shipit rollback production NEW --host b\nor back: shipit rollback production OLD --host a\n\
                    and: shipit rollback production OTHER --host c\nd had nothing before: there is no way back";
        assert_eq!(told.hint, hint);
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
