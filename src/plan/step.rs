//! The steps there are. Everything about a step that doesn't depend on a host is answered by the matches in this file.

/// One step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Connect, take the lock, put right what an earlier run left, learn the facts.
    Connect,
    /// Run the build command.
    Build,
    /// Map, hash and check what is shipped.
    Package,
    /// Hold the facts of each host against the artifact or the target.
    Preflight,
    /// Take the release in.
    Receive,
    /// Check a release that already lies on the host.
    Check,
    /// The user's own lines before anything is switched.
    BeforeSwitch,
    /// Start the candidate on a spare port.
    BootTest,
    /// Switch `current` and the service.
    Activate,
    /// Lead the requests to the new colour, share by share.
    Shift,
    /// Health and soak.
    Verify,
    /// The point of no return.
    Commit,
    /// The user's own lines once the release is live.
    AfterSwitch,
    /// Remove old releases.
    Prune,
    /// Free the lock, say goodbye.
    End,
}

/// How a step is taken back when it or a later one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It changes nothing that would have to be.
    Nothing,
    /// The session ends and frees the lock.
    End,
    /// The host removes what arrived; a release that has its name stays, marked as unproven or failed.
    Discard,
    /// The hooks' own undo lines, run from here after every host is back.
    Hooks,
    /// The host puts back what was live, by itself where we are gone.
    Revert,
    /// It can't be.
    Never,
}

impl Step {
    /// The word in plans, events, errors and the README.
    pub fn word(self) -> &'static str {
        match self {
            Step::Connect => "connect",
            Step::Build => "build",
            Step::Package => "package",
            Step::Preflight => "preflight",
            Step::Receive => "receive",
            Step::Check => "check",
            Step::BeforeSwitch => "before_switch",
            Step::BootTest => "boot_test",
            Step::Activate => "activate",
            Step::Shift => "shift",
            Step::Verify => "verify",
            Step::Commit => "commit",
            Step::AfterSwitch => "after_switch",
            Step::Prune => "prune",
            Step::End => "end",
        }
    }

    /// How it is taken back.
    pub fn undo(self) -> Undo {
        match self {
            Step::Build | Step::Package | Step::Preflight | Step::Check | Step::BootTest | Step::End => Undo::Nothing,
            Step::Connect => Undo::End,
            Step::Receive => Undo::Discard,
            Step::BeforeSwitch => Undo::Hooks,
            Step::Activate | Step::Shift | Step::Verify => Undo::Revert,
            Step::Commit | Step::AfterSwitch | Step::Prune => Undo::Never,
        }
    }
}

impl Undo {
    /// For the plan.
    pub fn sentence(self) -> &'static str {
        match self {
            Undo::Nothing => "",
            Undo::End => "undo: the session ends and frees the lock",
            Undo::Discard => "undo: what arrived is removed",
            Undo::Hooks => "undo: the hooks' own undo lines, the last one first",
            Undo::Revert => "undo: the host puts back what was live",
            Undo::Never => "final",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_production_can_be_taken_back_until_the_commit() {
        for (step, undo) in [
            (Step::Connect, Undo::End),
            (Step::Build, Undo::Nothing),
            (Step::Package, Undo::Nothing),
            (Step::Preflight, Undo::Nothing),
            (Step::Receive, Undo::Discard),
            (Step::Check, Undo::Nothing),
            (Step::BeforeSwitch, Undo::Hooks),
            (Step::BootTest, Undo::Nothing),
            (Step::Activate, Undo::Revert),
            (Step::Shift, Undo::Revert),
            (Step::Verify, Undo::Revert),
            (Step::Commit, Undo::Never),
            (Step::AfterSwitch, Undo::Never),
            (Step::Prune, Undo::Never),
            (Step::End, Undo::Nothing),
        ] {
            assert_eq!(step.undo(), undo, "{}", step.word());
        }
    }
}
