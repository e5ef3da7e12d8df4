//! The release that a run makes live: a new one with its record, or an earlier one as its record tells.

use std::sync::Arc;

use chrono::Utc;

use super::parcel::Parcel;
use super::run::{Run, random};
use crate::artifact::{Mutable, mutable_globs, sha256};
use crate::config::{Assets, Config, Health, Preset, Proxy, Service, Shared};
use crate::error::Result;
use crate::event::EventKind;
use crate::release::{ReleaseId, State};
use crate::remote::Record;
use crate::secret::Mask;
use crate::service;

/// The release that a run makes live, and how it is run.
pub(super) struct Release {
    pub(super) id: ReleaseId,
    pub(super) app_dir: String,
    pub(super) service: Service,
    pub(super) health: Health,
    pub(super) shared: Shared,
    /// What it writes in its own tree: globs from its root.
    pub(super) mutable: Vec<String>,
    /// The folders whose files outlive it, from its root.
    pub(super) assets: Assets,
    pub(super) settings: String,
    /// What stands in front of it, by today's settings: a proxy knows no releases.
    pub(super) proxy: Option<Proxy>,
}

impl Release {
    /// What of it need not be as released: by its record, and by what `deploy.toml` says today, so that a release is not
    /// lost for want of a glob that nobody thought of in its time.
    pub(super) fn mutable(&self, config: &Config) -> Mutable {
        Mutable::new(&self.app_dir, &self.shared, &self.mutable, &config.release.mutable)
    }
}

/// The record of the release that this run would make now.
pub(super) fn record(run: &Run) -> Record {
    let artifact = run.artifact.as_ref().expect("package comes before preflight in every deploy");
    let config = &run.request.config;
    let now = Utc::now();
    let newest = run.hosts.iter().filter_map(|host| host.facts.newest()).max();
    let id = ReleaseId::new(&config.release.prefix, now, newest, random() as u32);
    let mut service = config.service.clone();
    if let crate::config::Service::Pm2(pm2) = &mut service
        && pm2.ecosystem.is_none()
    {
        pm2.script = pm2.script.take().or_else(|| artifact.script.clone());
        pm2.preset_env = artifact.env.clone();
        if pm2.drain && config.build.preset == Preset::Next {
            // Next's own handlers would end it before it has answered all.
            pm2.preset_env.insert("NEXT_MANUAL_SIG_HANDLE".into(), "true".into());
        }
    }
    Record {
        id,
        at: now,
        who: run.origin.who.clone(),
        commit: run.origin.commit.clone(),
        branch: run.origin.branch.clone(),
        artifact: artifact.hash.clone(),
        files: artifact.files() as u64,
        bytes: artifact.bytes(),
        app_dir: artifact.app_dir.clone(),
        shared: config.shared.clone(),
        service,
        health: config.health.without(&Mask::new(config.secret_values.iter().cloned())),
        config: Some(shape(config)),
        mutable: [artifact.mutable.clone(), mutable_globs(&artifact.app_dir, &config.release.mutable)].concat(),
        assets: artifact.assets(&config.assets),
        deployment: artifact.deployment.clone(),
        node: None,
        bound: run.asks.as_ref().and_then(|asks| asks.natives.bound().map(str::to_owned)),
        transfer: None,
        previous: String::new(),
        state: State::Unproven,
        why: String::new(),
    }
}

/// What shapes a deploy and stands in no field of a record, as one hash: who may read the release, the hooks and the proxy.
fn shape(config: &Config) -> String {
    sha256(format!("{:?} {:?} {:?}", config.release.access, config.hooks, config.proxy).as_bytes())
}

/// Makes the new release: its id, its record, its parcel.
pub(super) fn new_release(run: &mut Run) -> Result<()> {
    let record = record(run);
    let artifact = run.artifact.clone().expect("package comes before preflight in every deploy");
    let config = &run.request.config;
    let id = record.id.clone();
    let marker = serde_json::json!({ "id": id, "commit": run.origin.commit, "artifact": artifact.hash }).to_string();
    let mtime = u64::try_from(id.time().timestamp()).unwrap_or_default();
    run.parcel = Some(Arc::new(Parcel::new(
        Arc::clone(&artifact),
        record.render(),
        marker + "\n",
        config.release.access.modes(),
        mtime,
    )));
    let service = record.service;
    let settings = service::settings(&service, &config.health, &artifact.app_dir, false);
    let (mutable, assets) = (record.mutable, record.assets);
    let commit = run.origin.commit.clone();
    decide(
        run,
        Release {
            id,
            app_dir: artifact.app_dir.clone(),
            service,
            health: run.request.config.health.clone(),
            shared: run.request.config.shared.clone(),
            mutable,
            assets,
            settings,
            proxy: run.request.config.proxy.clone(),
        },
        commit,
    );
    Ok(())
}

/// Makes an earlier release this run's, with the service and health settings of its own time.
pub(super) fn earlier_release(run: &mut Run, record: Record) {
    // What held a secret was not kept.
    let health = record.health.filled(&run.request.config.health);
    let settings = service::settings(&record.service, &health, &record.app_dir, true);
    decide(
        run,
        Release {
            id: record.id,
            app_dir: record.app_dir,
            service: record.service,
            health,
            shared: record.shared,
            mutable: record.mutable,
            assets: record.assets,
            settings,
            proxy: run.request.config.proxy.clone(),
        },
        record.commit,
    );
}

fn decide(run: &mut Run, release: Release, commit: Option<String>) {
    run.events.send(EventKind::Release { release: release.id.to_string(), commit });
    run.release = Some(release);
}
