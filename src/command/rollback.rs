//! `shipit rollback`: an earlier release live again, by the same way as a deploy. Shared files and databases stay.

use super::{confirm, load, perform, show_plan, terminal};
use crate::cli::{Allow, Global, RollbackArgs, Target};
use crate::engine::{Request, Wanted};
use crate::error::Result;
use crate::plan::{Flags, Plan, Verb};

pub(super) async fn run(global: &Global, args: RollbackArgs) -> Result<u8> {
    let (stage, target) = args.target()?;
    let config = load(global, stage, &args.hosts)?;
    let wanted = match target {
        Target::Steps(n) => Wanted::Back(n as usize),
        Target::Release(id) => Wanted::Named(id),
    };
    let flags = Flags { no_boot_test: args.switch.no_boot_test, hold: args.hold, ..Flags::default() };
    let plan = Plan::make(Verb::Rollback, &config, &flags);
    if args.dry.dry_run {
        return show_plan(global, &config, plan, Some(&wanted), args.dry.offline).await;
    }
    confirm(&config, "Roll back", args.switch.yes)?;
    let allow_mismatch = args.switch.allow.contains(&Allow::Mismatch);
    let (wait, hold) = (args.switch.wait, args.hold);
    let plain = Request::new(config, plan, terminal());
    perform(global, Request { wait, wanted: Some(wanted), hold, allow_mismatch, ..plain }).await
}
