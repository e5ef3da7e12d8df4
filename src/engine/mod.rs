//! Doing what a plan says, on many hosts, and taking it back.

mod cancel; // signals
mod carry; // a payload at its link's pace
mod commits; // what git knows of the way from a live release
mod held; // what a host says it has
mod here; // the build, git, who we are
mod host; // one host: connection, session, side channels
mod http; // one look at a service
mod outcome; // exit code, state of production, what to do next
mod findings; // facts against needs
mod reach; // whether a host's ports can be reached
mod limits; // how long a host may take
mod parcel; // what an archive is made of
mod release; // the release that a run makes live
mod run; // the order of things
mod scripts; // scripts and their variables
mod sending; // how it travels
mod session; // words and answers
mod survey; // what `check` says of a host
mod switch; // in place, or from colour to colour
mod suits; // a release against a host's machine and node
mod steps; // what each step does, one file a step
mod takeback; // the way back
mod target; // which release a rollback makes live
mod unchanged; // whether a deploy would change anything

use std::sync::Arc;

use crate::artifact::Artifact;
use crate::config::{Config, Host};
use crate::error::{Finding, Result};
use crate::event::Events;
use crate::plan::{Flags, Plan, Verb};
use crate::remote::Facts;

pub use cancel::Cancel;
pub use commits::Commits;
pub use here::Origin;
pub use host::{HostRun, Said};
pub use outcome::{Ending, Outcome};
pub use reach::forwards;
pub use run::{Request, run};
pub use scripts::{Home, Reading};
pub use suits::Asks;
pub use survey::{Row, Seen, Status, here, misfits, survey, unheard};
pub use target::{Wanted, choose};

/// Builds and packages, told as the two steps of a deploy.
pub async fn build_and_package(config: &Config, events: &Events) -> Result<Arc<Artifact>> {
    let plan = Plan::make(Verb::Deploy, config, &Flags::default());
    run::build_and_package(config, &plan, None, events).await
}

/// Packages what an earlier build left.
pub async fn package(config: &Config, events: &Events) -> Result<Arc<Artifact>> {
    let plan = Plan::make(Verb::Deploy, config, &Flags { skip_build: true, ..Flags::default() });
    run::build_and_package(config, &plan, None, events).await
}

/// What the build that is here asks of a machine; none where there is none that could be shipped.
pub async fn asks(config: &Config, events: &Events) -> Option<Asks> {
    let artifact = package(config, events).await.ok()?;
    Asks::of(artifact, crate::artifact::pinned(&config.build.root)).await.ok()
}

/// What would stop a run on a host, as far as its facts alone tell.
pub fn findings(host: &Host, config: &Config, facts: &Facts) -> Vec<Finding> {
    findings::findings(host, config, facts)
}

/// A token of 16 hex digits that no other session has.
pub fn token() -> String {
    run::token()
}
