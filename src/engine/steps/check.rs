//! Proves that an earlier release still is what was released.

use std::time::Duration;

use crate::config::Reuse;
use crate::engine::host::HostRun;
use crate::engine::limits::Limits;
use crate::engine::run::Context;
use crate::engine::scripts::Target;
use crate::error::Result;
use crate::remote::Reply;
use crate::text::count;

/// How long a check of every file may take.
const CHECK_LIMIT: Duration = Duration::from_secs(600);

/// Whether the release of a rollback is complete, unchanged where it matters, and its links lead somewhere.
pub(in crate::engine) async fn check(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let release = context.release();
    let withdraw = match host.facts.current() {
        Some(current) if current != release.id.as_str() => {
            format!("rolled back to {} by {}", release.id, context.origin.who)
        }
        _ => String::new(),
    };
    let hold = match host.facts.current() {
        Some(current) if context.hold => format!("rolled back from {current} to {}", release.id),
        _ if context.hold => format!("rolled back to {}", release.id),
        _ => String::new(),
    };
    let script = host.home.check(&Target {
        release,
        limits: Limits::of(release, &host.facts),
        withdraw: &withdraw,
        hold: &hold,
        links: context.config.release.reuse == Reuse::Hardlink,
    });
    let said = host.side(&script, "check", CHECK_LIMIT, None).await?;
    if said.code != Some(0) {
        return Err(host.failed("check", said.why));
    }
    let mutable = release.mutable(context.config);
    let assets = said.replies.iter().find_map(Reply::assets);
    let mut wrong = Vec::new();
    for reply in said.replies {
        match reply {
            Reply::Bad(path) if !mutable.names(path.as_bytes()) => wrong.push(path),
            Reply::Dangling(path) => wrong.push(format!("{path} (its shared file is gone)")),
            _ => {}
        }
    }
    if !wrong.is_empty() {
        let more = if wrong.len() > 5 { format!(" and {} more", wrong.len() - 5) } else { String::new() };
        wrong.truncate(5);
        return Err(
            host.failed("check", format!("{} is not what was released: {}{more}", release.id, wrong.join(", ")))
        );
    }
    host.job("prepare", "", "check", Duration::from_secs(60)).await?;
    Ok(match assets {
        None => "every file as it was released".into(),
        Some(assets) => {
            format!("every file as it was released; {} of what is live kept beside them", count(assets.files, "asset"))
        }
    })
}
