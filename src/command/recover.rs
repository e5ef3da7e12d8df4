//! `shipit recover`: finishes what an interrupted run left, and nothing else.

use super::{load, perform, terminal};
use crate::cli::{Global, Place};
use crate::engine::Request;
use crate::error::Result;
use crate::plan::{Flags, Plan, Verb};

pub(super) async fn run(global: &Global, place: Place) -> Result<u8> {
    let config = load(global, place.stage.as_deref(), &place.hosts)?;
    let plan = Plan::make(Verb::Recover, &config, &Flags::default());
    perform(global, Request::new(config, plan, terminal())).await
}
