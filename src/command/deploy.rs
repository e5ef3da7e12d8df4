//! `shipit deploy`: build, ship, switch, prove.

use super::{confirm, load, perform, show_plan, terminal};
use crate::artifact::Kept;
use crate::cli::{Allow, DeployArgs, Global};
use crate::engine::Request;
use crate::error::Result;
use crate::plan::{Flags, Plan, Verb};
use crate::text::clean;

pub(super) async fn run(global: &Global, args: DeployArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    let kept = args.artifact.as_deref().map(|file| Kept::open(file, &config)).transpose()?;
    let flags = Flags {
        skip_build: args.skip_build,
        artifact: args.artifact.as_deref().map(|file| clean(&file.to_string_lossy(), 200)),
        if_changed: args.if_changed,
        no_boot_test: args.switch.no_boot_test,
        keep: None,
        hold: false,
    };
    let plan = Plan::make(Verb::Deploy, &config, &flags);
    if args.dry.dry_run {
        if let Some(kept) = &kept {
            kept.read(&config, false)?;
        }
        return show_plan(global, &config, plan, None, args.dry.offline).await;
    }
    confirm(&config, "Deploy", args.switch.yes)?;
    let allow_mismatch = args.switch.allow.contains(&Allow::Mismatch);
    let (wait, if_changed) = (args.switch.wait, args.if_changed);
    let plain = Request::new(config, plan, terminal());
    perform(global, Request { wait, kept, if_changed, allow_mismatch, ..plain }).await
}
