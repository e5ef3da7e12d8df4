//! Proves that an earlier release still is what was released.

use std::time::Duration;

use crate::engine::host::HostRun;
use crate::engine::limits::Limits;
use crate::engine::release::Release;
use crate::engine::run::Context;
use crate::error::Result;
use crate::remote::Reply;

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
    let script = host.home.check(release, &Limits::of(release, &host.facts), &withdraw);
    let said = host.side(&script, "check", CHECK_LIMIT, None).await?;
    if said.code != Some(0) {
        return Err(host.failed("check", said.why));
    }
    let mut wrong = Vec::new();
    for reply in said.replies {
        match reply {
            Reply::Bad(path) if !is_mutable(&path) && !is_shared(&path, release) => wrong.push(path),
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
    Ok("every file as it was released".into())
}

/// Pages and caches that Next.js rewrites in place while it runs (14 and 15 do; 16 writes beside them).
fn is_mutable(path: &str) -> bool {
    let inside = |part: &str| path.contains(part);
    inside(".next/cache/") || inside("/server/app/") || inside("/server/pages/") || inside("/server/route-cache/")
}

/// What was shipped at a shared path was replaced by its link when the release was received.
fn is_shared(path: &str, release: &Release) -> bool {
    release.shared.dirs.iter().chain(&release.shared.files).any(|shared| {
        crate::artifact::place(&release.app_dir, shared)
            .and_then(|at| at.to_str().map(str::to_owned))
            .is_some_and(|at| path == at || path.strip_prefix(&at).is_some_and(|rest| rest.starts_with('/')))
    })
}
