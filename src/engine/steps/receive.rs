//! Sends the new release to every host, where it is unpacked, verified and named.

use std::sync::Arc;
use std::time::Duration;

use super::blame;
use crate::artifact::Codec;
use crate::engine::host::HostRun;
use crate::engine::limits::Limits;
use crate::engine::parcel::Sending;
use crate::engine::run::Run;
use crate::engine::scripts::Intake;
use crate::error::Result;
use crate::plan::Step;
use crate::text::bytes;

/// How long a host may take to unpack, verify and sync a release after the last byte was sent.
const RECEIVE_LIMIT: Duration = Duration::from_secs(3600);

/// Sends the release to every host; packed once for each codec.
pub(in crate::engine) async fn receive(run: &mut Run) -> Result<()> {
    let parcel = Arc::clone(run.parcel.as_ref().expect("made with the release"));
    let codec = |host: &HostRun| if host.facts.has("zstd") { Codec::Zstd } else { Codec::Gzip };
    let mut packed = Vec::new();
    for wanted in [Codec::Zstd, Codec::Gzip] {
        if run.hosts.iter().any(|host| codec(host) == wanted) {
            packed.push((wanted, parcel.pack(wanted).await?));
        }
    }
    run.each(Step::Receive, None, async |context, host| {
        let release = context.release();
        let codec = codec(host);
        let (_, file) = packed.iter().find(|(packed, _)| *packed == codec).expect("packed for every codec in use");
        let sha = context.parcel.expect("made with the release").manifest_sha();
        let script = host.home.receive(&Intake {
            id: &release.id,
            codec,
            manifest_sha: &sha,
            settings: &release.settings,
            limits: Limits::of(release, &host.facts),
            node: host.facts.value("node").unwrap_or_default(),
            app_dir: &release.app_dir,
            access: &context.config.release.access,
            shared: &release.shared,
        });
        let mut sending = Sending::new(Arc::clone(file), host.events.clone())?;
        let total = sending.total;
        let said = host.side(&script, "receive", RECEIVE_LIMIT, Some(&mut sending)).await?;
        if said.code != Some(0) {
            return Err(host.failed("receive", said.why));
        }
        if let Err(error) = host.job("prepare", "", "receive", Duration::from_secs(60)).await {
            blame(host, &release.id, &error).await;
            return Err(error);
        }
        Ok(format!("{} sent, every file verified", bytes(total)))
    })
    .await
}
