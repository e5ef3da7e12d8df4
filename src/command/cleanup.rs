//! `shipit cleanup`: removes old releases, never what is live or in use.

use super::{load, look, perform, print, print_json, terminal, unheard};
use crate::cli::{CleanupArgs, Global};
use crate::engine::Request;
use crate::error::Result;
use crate::plan::{Flags, Plan, Verb};
use crate::text::count;

pub(super) async fn run(global: &Global, args: CleanupArgs) -> Result<u8> {
    let config = load(global, args.place.stage.as_deref(), &args.place.hosts)?;
    let keep = args.keep.map_or(config.release.keep, |keep| keep as usize);
    if args.dry_run {
        let mut code = 0;
        for seen in look::all(&config, Some(keep)).await {
            let name = &seen.host.name;
            if let Err(error) = seen.facts {
                let value = unheard(name, &error, &mut code);
                if global.json {
                    print_json(&value);
                }
            } else if global.json {
                print_json(&serde_json::json!({"host": name, "would_remove": seen.removable}));
            } else {
                print(&format!("{name}: would remove {}\n", count(seen.removable.len(), "release")));
                for release in &seen.removable {
                    print(&format!("  {release}\n"));
                }
            }
        }
        return Ok(code);
    }
    let plan = Plan::make(Verb::Cleanup, &config, &Flags { keep: Some(keep), ..Flags::default() });
    perform(global, Request { keep, ..Request::new(config, plan, terminal()) }).await
}
