//! Sends to every host what it lacks of the new release; there it is completed, verified and named.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::blame;
use crate::artifact::{Codec, Delta, Held, Way};
use crate::config::Reuse;
use crate::engine::host::{HostRun, Said};
use crate::engine::limits::Limits;
use crate::engine::parcel::Parcel;
use crate::engine::run::{Context, Run};
use crate::engine::scripts::Intake;
use crate::engine::sending::{Packed, Packer, Sending, Supply};
use crate::error::Result;
use crate::event::{EventKind, Transfer};
use crate::plan::Step;
use crate::remote::Reply;
use crate::service;
use crate::text::{bytes, count};

/// How long a host may take to complete, verify and sync a release after the last byte was sent.
const RECEIVE_LIMIT: Duration = Duration::from_secs(3600);
/// How long a host may still look at what it has when everything else is ready: sending all may be quicker then.
const LOOK_LIMIT: Duration = Duration::from_secs(120);
/// What the host's script ends with where what lies there does not serve.
const SEND_ALL: i32 = 2;
/// What it ends with where only what the release says of its own service is wrong.
const NOT_PREPARED: i32 = 3;

/// Sends each host what it lacks; packed once for all that lack the same.
pub(in crate::engine) async fn receive(run: &mut Run) -> Result<()> {
    let packed = Mutex::new(Vec::new());
    run.each(Step::Receive, None, async |context, host| {
        let parcel = context.parcel.expect("made with the release");
        let mut delta = lacks(context, host, parcel).await.map(Arc::new);
        let mut said;
        let mut wire = 0;
        let mut transfer;
        loop {
            let way = Way::slowest(&context.config.hosts);
            let packer = Packer { parcel: Arc::clone(parcel), codec: codec(host), way, delta: delta.clone() };
            let supply = match context.config.hosts.len() {
                1 => Supply::Packer(packer),
                _ => Supply::File(pack(&packed, packer).await?),
            };
            let (sent, reused) = parcel.amounts(delta.as_deref());
            transfer = Transfer { sent, reused, ..Transfer::default() };
            host.events.send(EventKind::Transfer { step: Step::Receive.word(), transfer });
            let mut sending = Sending::new(supply, host.events.clone(), sent.bytes);
            said = send(context, host, parcel, delta.is_some(), (transfer, wire), &mut sending).await?;
            wire += sending.wire;
            // The release is proved as a whole: what lies there may have changed since it was looked at.
            if said.code != Some(SEND_ALL) || delta.is_none() {
                break;
            }
            let text = format!("{}; sending all", said.why);
            host.events.send(EventKind::StepNote { step: Step::Receive.word(), text });
            delta = None;
        }
        transfer.wire = Some(wire);
        transfer.assets = said.replies.iter().find_map(Reply::assets).unwrap_or_default();
        host.events.send(EventKind::Transfer { step: Step::Receive.word(), transfer });
        match said.code {
            Some(0) => {}
            Some(NOT_PREPARED) => {
                let error = host.job_failed("prepare", said, "receive").await;
                blame(host, &context.release().id, &error).await;
                return Err(error);
            }
            _ => return Err(host.job_failed("receive", said, "receive").await),
        }
        let reused = transfer.reuse().map_or(String::new(), |reuse| format!(", {reuse}"));
        let assets = match transfer.assets.files {
            0 => String::new(),
            n => format!(", {} of earlier releases", count(n, "asset")),
        };
        Ok(format!("{} sent{reused}{assets}, every file verified", bytes(wire)))
    })
    .await
}

fn codec(host: &HostRun) -> Codec {
    if host.facts.has("zstd") { Codec::Zstd } else { Codec::Gzip }
}

/// What this host need not be sent; none: it is sent all.
async fn lacks(context: &Context<'_>, host: &HostRun, parcel: &Arc<Parcel>) -> Option<Delta> {
    if context.config.release.reuse == Reuse::Off {
        return None;
    }
    let held = host.session.as_ref()?.held(LOOK_LIMIT).await;
    let had = host.facts.current().is_some_and(|current| host.facts.dirs.iter().any(|id| id.as_str() == current));
    if had && !held.as_ref().is_some_and(Held::has_release) {
        let text = "the host can't tell what of the live release is as it was released; sending all".to_owned();
        host.events.send(EventKind::StepNote { step: Step::Receive.word(), text });
    }
    let (held, parcel) = (held.filter(|held| !held.is_empty())?, Arc::clone(parcel));
    let links = (context.config.release.reuse == Reuse::Hardlink).then(|| context.release().mutable(context.config));
    let compared = tokio::task::spawn_blocking(move || parcel.delta(&held, links.as_ref())).await;
    compared.expect("comparing does not panic")
}

/// The file for this host; made where no other host needed the same before.
async fn pack(packed: &Mutex<Vec<(Packer, Arc<Packed>)>>, packer: Packer) -> Result<Arc<Packed>> {
    let mut packed = packed.lock().await;
    if let Some((_, same)) = packed.iter().find(|(other, _)| packer.is_like(other)) {
        return Ok(Arc::clone(same));
    }
    let file = Arc::new(packer.clone().pack().await?);
    packed.push((packer, Arc::clone(&file)));
    Ok(file)
}

async fn send(
    context: &Context<'_>,
    host: &HostRun,
    parcel: &Parcel,
    reuses: bool,
    (transfer, earlier): (Transfer, u64),
    sending: &mut Sending,
) -> Result<Said> {
    let release = context.release();
    let script = host.home.receive(&Intake {
        id: &release.id,
        codec: codec(host),
        manifest_sha: &parcel.manifest_sha(),
        from: host.facts.current().filter(|_| reuses).unwrap_or_default(),
        settings: &release.settings,
        limits: Limits::of(release, &host.facts),
        node: host.facts.value("node").unwrap_or_default(),
        transfer,
        earlier,
        runs: service::runs(&release.service),
        app_dir: &release.app_dir,
        access: &context.config.release.access,
        shared: &release.shared,
        assets: &release.assets,
        links: context.config.release.reuse == Reuse::Hardlink,
    });
    host.side(&script, "receive", RECEIVE_LIMIT, Some(sending)).await
}
