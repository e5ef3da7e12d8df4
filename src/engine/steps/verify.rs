//! The proof from outside, after the switch: the service answers through its own port and its public address, an asset
//! that its page names is there, and nothing restarts while we look.

use std::time::Duration;

use reqwest::Url;

use crate::config::{From, Health};
use crate::engine::host::HostRun;
use crate::engine::http::{Look, until_healthy};
use crate::engine::release::Release;
use crate::engine::run::Context;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::proxy;
use crate::text::duration;
use crate::transport::{Endpoint, Transport};

/// One address to look at, and the way to it.
struct View {
    url: Url,
    look: Look,
    /// Whether the way leads through the host.
    forwarded: bool,
}

/// Health from here, and no worker that restarts meanwhile.
pub(in crate::engine) async fn verify(context: &Context<'_>, host: &mut HostRun) -> Result<String> {
    let looked = look(host, context.release()).await;
    // A session that was ended has taken the release back: what was seen meanwhile says nothing about it.
    if looked.is_err() && !host.goes_on("held").await {
        return Err(host.over("verify"));
    }
    if looked.is_err()
        && let Ok(said) = host.side(&host.home.side("log", ""), "verify", Duration::from_secs(15), None).await
    {
        host.tell_log("the last lines of the log", said.log);
    }
    looked
}

/// Looks until all is well, then goes on looking for the soak. What was seen, in a few words.
async fn look(host: &HostRun, release: &Release) -> Result<String> {
    let health = &release.health;
    let (views, from_host) = well(host, release, "verify").await?;
    let ask_host = || host.job("health", "", "verify", health.within + Duration::from_secs(30));
    if from_host {
        ask_host().await?;
    }
    let mut seen = Vec::new();
    if health.assets
        && let Some(view) = views.first()
    {
        let root = view.url.join("/").unwrap_or_else(|_| view.url.clone());
        match view.look.asset(&root).await {
            Ok(Some(path)) => seen.push(format!("asset {path}")),
            Ok(None) => {}
            Err(why) => return Err(host.failed("verify", why)),
        }
    }
    soak(host, health, &views, "verify", health.soak).await?;
    if from_host {
        ask_host().await?;
        seen.push("seen from the host, which forwards no ports".into());
    }
    if let Some(view) = views.first() {
        seen.insert(0, format!("{} answers {}", view.url.path(), health.expect.status));
    }
    seen.push(format!("soaked {}", duration(health.soak)));
    Ok(seen.join(", "))
}

/// The service's own port, then `health.url`.
async fn views(host: &HostRun, release: &Release) -> Result<Vec<View>> {
    let health = &release.health;
    let mut views = Vec::new();
    let colour = host.facts.value("colour").and_then(|colour| proxy::port(release.proxy.as_ref()?, colour));
    if let (Some(path), Some(port)) = (&health.path, colour.or(release.service.port())) {
        let url = parse(&format!("http://127.0.0.1:{port}{path}"))?;
        views.push(View { look: Look::new(&forward(host, "127.0.0.1", port).await?, health)?, url, forwarded: true });
    }
    if let Some(url) = &health.url {
        let url = parse(url)?;
        let endpoint = match (health.from, url.host_str(), url.port_or_known_default()) {
            (From::Host, Some(name), Some(port)) => forward(host, name, port).await?,
            _ => Endpoint::Direct,
        };
        views.push(View { look: Look::new(&endpoint, health)?, url, forwarded: endpoint != Endpoint::Direct });
    }
    Ok(views)
}

async fn forward(host: &HostRun, name: &str, port: u16) -> Result<Endpoint> {
    let transport = host.transport.as_ref().ok_or_else(|| host.lost("verify"))?;
    transport.forward(name, port).await
}

fn parse(url: &str) -> Result<Url> {
    url.parse().map_err(|error| Error::Usage { what: format!("health: {url} is no URL: {error}"), hint: String::new() })
}

/// While only a part of the requests goes to the release, or none yet: the same look, for so long. Where no port is
/// forwarded the host's own node looks in verify; here the watch over its processes has to do.
pub(super) async fn watch(host: &HostRun, release: &Release, time: Duration) -> Result<()> {
    let (views, _) = well(host, release, "shift").await?;
    soak(host, &release.health, &views, "shift", time).await
}

/// Looks until all is well: the views that can be looked at from here, and whether there are others, which only the
/// host's own node can see, for its sshd forwards no ports.
async fn well(host: &HostRun, release: &Release, step: &'static str) -> Result<(Vec<View>, bool)> {
    let health = &release.health;
    let blocked = || host.transport.as_ref().is_some_and(Transport::forwards_nothing);
    let (mut direct, mut from_host) = (Vec::new(), false);
    for view in views(host, release).await? {
        match until_healthy(&view.look, &view.url, health, blocked).await {
            Ok(()) => direct.push(view),
            Err(_) if view.forwarded && blocked() => from_host = true,
            Err(why) => {
                return Err(host.failed(step, format!("{} within {}: {why}", view.url, duration(health.within))));
            }
        }
    }
    Ok((direct, from_host))
}

/// For the soak's length no worker may restart and no look may fail twice running.
async fn soak(host: &HostRun, health: &Health, views: &[View], step: &'static str, time: Duration) -> Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    host.events.send(EventKind::StepNote { step, text: format!("answers; soaking {}", duration(time)) });
    let millis = time.as_millis().to_string();
    let watching = host.job("watch", &millis, step, time + Duration::from_secs(60));
    let looking = async {
        let mut silent = vec![false; views.len()];
        loop {
            // Without anything to look at, the watch alone decides.
            tokio::time::sleep(health.interval.max(Duration::from_millis(250))).await;
            for (view, silent) in views.iter().zip(&mut silent) {
                match view.look.healthy(&view.url, &health.expect).await {
                    Ok(()) => *silent = false,
                    // Once nobody may answer: that can be the way there. A wrong answer is final.
                    Err(fault) if !fault.answered && !std::mem::replace(silent, true) => {}
                    Err(fault) => return host.failed(step, format!("{} during the soak: {}", view.url, fault.why)),
                }
            }
        }
    };
    tokio::select! {
        watched = watching => watched.map(|_| ()),
        error = looking => Err(error),
    }
}
