//! What will happen: a pure function of config, flags and verb. Printed by a dry run, walked by the engine; facts from
//! hosts only fill in how a step does its work.

mod how;
mod make;
mod show;
mod step;

pub use how::{fill, how};
pub use make::Flags;
pub use step::{Step, Undo};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Ship a new release.
    Deploy,
    /// Make an earlier release live again.
    Rollback,
    /// Remove old releases.
    Cleanup,
    /// Put right what an earlier run left.
    Recover,
}

impl Verb {
    /// The word on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Deploy => "deploy",
            Verb::Rollback => "rollback",
            Verb::Cleanup => "cleanup",
            Verb::Recover => "recover",
        }
    }
}

/// The steps of a run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What for.
    pub verb: Verb,
    /// `VERB APP (STAGE) on HOSTS`.
    pub title: String,
    /// In order; each is reported once for this machine or once a host.
    pub steps: Vec<Planned>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub step: Step,
    /// How it works, as far as the config says; a dry run adds what the facts say.
    pub how: String,
    /// Why there is nothing to do; the step is then reported as skipped.
    pub skip: Option<String>,
}

impl Plan {
    /// Why a step has nothing to do, where that is so.
    pub fn skipped(&self, step: Step) -> Option<&str> {
        self.steps.iter().find(|planned| planned.step == step)?.skip.as_deref()
    }

    /// Leaves out what comes after preflight, but for the goodbye.
    pub fn stop(&mut self, why: &str) {
        let after = self.steps.iter_mut().skip_while(|planned| planned.step != Step::Preflight).skip(1);
        for planned in after.filter(|planned| planned.step != Step::End) {
            planned.skip = Some(why.to_owned());
        }
    }

    /// Whether a step belongs to this plan.
    pub fn has(&self, step: Step) -> bool {
        self.steps.iter().any(|planned| planned.step == step)
    }
}
